"""What to run, in which order, and where results live. See `docs/design.md`."""
