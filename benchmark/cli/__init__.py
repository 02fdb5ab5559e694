"""The command line: its commands (`app`), options that they share, and what they print."""
