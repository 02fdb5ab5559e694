"""Stored results as tables, entries of the leaderboard and figures."""
