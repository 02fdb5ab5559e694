"""The parts of a configuration that every run has, and the files of presets and tracks."""
