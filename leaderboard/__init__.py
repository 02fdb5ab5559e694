"""The leaderboard: entries in, tables and pages out. It knows nothing of training.

`entry` is the schema of an entry, `scores` names its scores, `tradeoff` compares entries, `render`
writes Markdown, CSV and Parquet, `html` the page, and `board` keeps it all in a folder.
"""
