"""The allowed layers: which arguments each may have, and what it makes of its input's shape."""
