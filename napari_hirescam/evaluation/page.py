"""A report as one HTML file that needs nothing beside it: tables, figures, words."""

from __future__ import annotations

import math
import re
from base64 import b64encode
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path

from napari_hirescam.errors import SettingsError
from napari_hirescam.safe_write import Section as Stretch
from napari_hirescam.safe_write import write_file

#: Text that begins with a number, or stands for none, stands in its column as numbers do.
_FIGURE = re.compile(r"-?\d+\.\d|\N{EN DASH}$")


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
    """A heading and what stands under it, in the order text, tables, figures.

    An empty line in the text begins a new paragraph.
    """

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


def cell_text(value: str | float) -> str:
    """Write a cell of a table: numbers to three digits, whole ones in full, NaN as a dash."""
    if isinstance(value, (str, Integral)):  # numpy's integers, too
        return str(value)
    if math.isnan(value):
        return "\N{EN DASH}"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        # Shares below one keep three places, so that a column of them lines up.
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"
    return f"{value:.2e}"


def render(page: Page) -> str:
    """Render a page as HTML. All text is escaped: names of cases and labels come from files.

    Raises
    ------
    SettingsError
        jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as exc:
        raise missing_extra("jinja2") from exc

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("napari_hirescam.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = cell_text
    environment.filters["paragraphs"] = _paragraphs
    environment.filters["data_uri"] = lambda png: (
        f"data:image/png;base64,{b64encode(png).decode('ascii')}"
    )
    environment.tests["figure"] = lambda value: isinstance(value, Real) or _FIGURE.match(value)
    return environment.get_template("page.html").render(page=page)


def write_page(page: Page, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a page as one HTML file, whole or not at all.

    Raises
    ------
    SettingsError
        The file exists and may not be replaced, or cannot be written; jinja2 is missing.
    """
    content = render(page).encode()
    try:
        write_file(Path(path), [Stretch(lambda: [content])], overwrite=overwrite)
    except FileExistsError as exc:
        raise SettingsError(
            path, "there is a file of this name", "Choose another name, or overwrite it"
        ) from exc
    except OSError as exc:
        raise SettingsError(
            path, f"it cannot be written: {exc.strerror or exc}", "Choose another folder"
        ) from exc


def missing_extra(package: str) -> SettingsError:
    """Build the error for a package that belongs to the extra 'evaluate'."""
    return SettingsError(
        package,
        "this package is needed for evaluations and reports, and is not installed",
        'Install it with: pip install "napari-hirescam[evaluate]"',
    )


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n\n") if part.strip()]
