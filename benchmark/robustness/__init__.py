"""Robustness: accuracy under attacks, and warning flags where the attacks may mislead."""
