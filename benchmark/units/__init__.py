"""One file per kind of unit of work, and the plan and the store that all of them share."""
