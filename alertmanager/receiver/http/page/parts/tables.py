"""Tables of the page: rows on a wide screen, one block of labelled values for each row on a phone.

A browser that shows a table as blocks no longer tells a screen reader that it is one, so the roles are written out.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from canary.report.markup import Markup, tag


class Cell(NamedTuple):
    """A cell that says something by its style, too."""

    text: Markup | str
    kind: str


Row = Sequence[Markup | str | Cell]


def table(name: str, caption: str, titles: Sequence[str], rows: Iterable[Row], *, hints: Sequence[str] = ()) -> Markup:
    """A table whose first column names the rows.

    Args:
        name: what it is called for people who cannot see it.
        hints: by row, what its name shows when it is pointed at.
    """
    head = tag("tr", *(tag("th", title, scope="col", role="columnheader") for title in titles), role="row")
    body = (_row(titles, row, hints[index] if hints else None) for index, row in enumerate(rows))
    drawn = tag(
        "table",
        tag("caption", caption),
        tag("thead", head, role="rowgroup"),
        tag("tbody", *body, role="rowgroup"),
        role="table",
    )
    return tag("div", drawn, class_="wide", tabindex="0", role="region", aria_label=f"Table of {name}")


def _row(titles: Sequence[str], row: Row, hint: str | None) -> Markup:
    first, *others = row
    cells = (_cell(title, one) for title, one in zip(titles[1:], others, strict=True))
    name = first.text if isinstance(first, Cell) else first
    return tag("tr", tag("th", name, scope="row", role="rowheader", title=hint), *cells, role="row")


def _cell(title: str, one: Markup | str | Cell) -> Markup:
    text, kind = (one.text, one.kind) if isinstance(one, Cell) else (one, None)
    return tag("td", tag("div", text), role="cell", data_label=title, class_=kind or None)
