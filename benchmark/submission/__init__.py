"""A model from outside: admitted, measured, and compared with the board."""
