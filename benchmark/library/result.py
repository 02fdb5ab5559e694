"""What the public functions return: small frozen objects that print as tables."""

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from pydantic import TypeAdapter
from tabulate import tabulate

from pellucid.models.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Row = Mapping[str, str | int | float | None]
"""A row of a table, by column."""


class Table(NamedTuple):
    """A table with its title, one row per mapping."""

    title: str
    rows: Sequence[Row]


class Result:
    """A frozen dataclass that prints as tables, is plotted, and becomes a data frame or JSON.

    Subclasses define `tables`, of which the first is the main one, and `plot`, and may define
    `notes`.
    """

    def tables(self) -> list[Table]:
        """The tables that are printed; the first is what `to_frame` returns."""
        raise NotImplementedError

    def notes(self) -> list[str]:
        """Lines that are printed after the tables."""
        return []

    def plot(self) -> "Figure":
        """A figure of what the object holds, which a notebook shows.

        Returns:
            A `matplotlib.figure.Figure`, made without pyplot: `figure.savefig("file.png")` writes
            it, and there is nothing to close.
        """
        raise NotImplementedError

    def to_frame(self) -> "pd.DataFrame":
        """The main table as a pandas data frame."""
        import pandas as pd

        return pd.DataFrame(self.tables()[0].rows)

    def to_json(self) -> str:
        """A JSON text from which `from_json` makes an equal object."""
        return TypeAdapter(type(self)).dump_json(self, indent=1).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The object that `to_json` wrote.

        Raises:
            InputError: The text is not of such an object.
        """
        try:
            return TypeAdapter(cls).validate_json(text)
        except ValueError as error:
            raise InputError(f"The text is not a {cls.__name__} as JSON.") from error

    def __str__(self) -> str:
        parts = [f"{title}\n{_formatted(rows, 'simple')}" for title, rows in self.tables()]
        return "\n\n".join([*parts, *filter(None, ["\n".join(self.notes())])])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        parts = [
            f"<p>{html.escape(title)}</p>\n{_formatted(rows, 'html')}"
            for title, rows in self.tables()
        ]
        return "\n".join([*parts, *(f"<p>{html.escape(note)}</p>" for note in self.notes())])


def _formatted(rows: Sequence[Row], form: str) -> str:
    """Rows as a table; `html` escapes what is in the cells."""
    shown = [{name: _cell(value) for name, value in row.items()} for row in rows]
    numbers = {name for row in rows for name, value in row.items() if not isinstance(value, str)}
    align = ["right" if name in numbers else "left" for name in (shown[0] if shown else ())]
    return tabulate(shown, headers="keys", tablefmt=form, colalign=align, disable_numparse=True)


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
