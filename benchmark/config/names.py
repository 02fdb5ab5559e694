"""Names of files in a run's folder that several parts of the program read."""

CONFIG = "config.toml"
"""The resolved configuration; it marks a folder as a run's."""
ENVIRONMENT = "environment.json"
"""What the run was made with, and how long it took."""
