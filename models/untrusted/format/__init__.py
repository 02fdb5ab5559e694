"""The bytes of a `.keras` file: its path, its ZIP archive, its JSON and its HDF5 members."""
