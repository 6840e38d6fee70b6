"""A report as one HTML file that needs nothing beside it: tables, figures, words."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """Rows under headings.

    Parameters
    ----------
    header
        Headings of the columns.
    rows
        A cell is text, or a number that is shown to three digits (NaN as a dash).
    caption
        What the figures are: n, intervals, seeds.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture, PNG, and what it shows."""

    png: bytes
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in the order text, tables, figures."""

    heading: str
    text: str = ""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Page:
    """A report.

    Parameters
    ----------
    title
        What was measured.
    lead
        The result in a sentence or two; what a reader takes away who reads no further.
    facts
        How it was made: command, date, seeds, versions, hashes, data.
    sections
        In reading order.
    """

    title: str
    lead: str
    facts: dict[str, str]
    sections: tuple[Section, ...] = field(default=())
