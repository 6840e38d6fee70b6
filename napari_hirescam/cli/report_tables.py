"""A report page's tables on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hirescam.evaluation.page import Page, Table


def print_page(page: Page, out: Path) -> None:
    """Print a page's lead and tables, and where its report lies."""
    from rich.text import Text

    from napari_hirescam.cli.common import wide_console

    for section in page.sections:
        for content in section.tables:
            print_table(section.heading, content)
    console = wide_console()
    console.print(Text(page.lead))
    console.print(Text(f"Wrote the report to {out}"))


def print_table(title: str, content: Table) -> None:
    """Print a table under a title; whatever its cells hold is printed as it is."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column
    from rich.table import Table as Printed
    from rich.text import Text

    from napari_hirescam.cli.common import wide_console
    from napari_hirescam.evaluation.page import cell_text

    table = Printed(
        *(Column(Text(name), overflow="fold") for name in content.header),
        title=Text(title),
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    for row in content.rows:
        table.add_row(*(Text(cell_text(cell)) for cell in row))
    wide_console().print(table)
