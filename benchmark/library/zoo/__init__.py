"""Reference networks of the board's tracks, by name: a list of them, and their files."""
