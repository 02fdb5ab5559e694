"""Runs a plan: in which order, by which workers, in which folder."""
