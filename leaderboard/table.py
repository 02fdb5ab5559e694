"""A table of comparable entries: what its renderings have in common, each worked out once."""

from pellucid.leaderboard import scores
from pellucid.leaderboard.eligibility import left_out
from pellucid.leaderboard.entry import Entry
from pellucid.leaderboard.flags import MEANINGS
from pellucid.leaderboard.text import printable
from pellucid.leaderboard.tradeoff import Standings, compared, lead, tables

MAX_TITLE = 60
"""Characters of a title."""


class Table:
    """A table and how its entries stand.

    Attributes:
        rows: Its entries, in order.
        track: Their track.
        names: The scores that are set against accuracy, the leading one first.
        plain: The other scores that have a title, accuracies first.
        titles: Titles of all scores, by name.
        directions: 1 where higher is better, -1 where lower is, 0 for scores without a direction.
        lead: The score by which the table is ordered.
        standings: By name of a score, how each entry stands, by id.
        fits: By name of a score, the fit to the reference grid.
        ranks: By name of a score, and for that by which the table is ordered.
        unranked: Why entries have no standing, by id.
    """

    def __init__(self, rows: list[Entry], found: Standings) -> None:
        self.rows, self.track = rows, rows[0].track
        self.names, self.plain, self.lead = compared(rows), scores.others(rows), lead(rows)
        names = scores.names(rows)
        self.titles = {name: printable(scores.title(rows, name), MAX_TITLE) for name in names}
        self.directions = scores.directions(rows)
        self.standings = {name: found.of(rows, name) for name in self.names}
        self.fits = {name: found.fit(rows, name) for name in self.names}
        ranked = dict.fromkeys([*self.names, self.lead])
        self.ranks = {name: found.ranks(rows, name) for name in ranked}
        self.unranked = left_out(rows)

    def better(self, name: str) -> str:
        """Which direction of a score is better: `higher`, `lower`, or nothing."""
        return {1: "higher", -1: "lower", 0: ""}[self.directions[name]]

    def of_role(self, role: str) -> list[Entry]:
        """The entries of a role."""
        return [entry for entry in self.rows if entry.role == role]

    def remarks(self, entry: Entry) -> list[str]:
        """Why an entry is not ranked, if it is not, and its flags, in words."""
        reason = self.unranked.get(entry.id)
        found = [f"not ranked: {reason}"] if reason else []
        for flag in entry.flags:
            title, out = MEANINGS[flag.name].title, flag.name in entry.ruled_out
            if title != reason:
                found.append(f"{title} (ruled out)" if out else title)
        return found


def of(entries: list[Entry], found: Standings | None = None) -> list[Table]:
    """The tables of a board, in order."""
    found = found or Standings()
    return [Table(rows, found) for rows in tables(entries)]
