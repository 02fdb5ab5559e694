"""The leaderboard: entries in, tables out. It knows nothing of training.

`entry` is the schema of one entry, `ranking` orders entries and marks the Pareto front, `render`
writes Markdown and CSV.
"""
