"""``reproduce``: the paper's experiments, each a command that writes a report page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from napari_hirescam.cli.app import app

if TYPE_CHECKING:
    from rich.console import Console

reproduce = typer.Typer(
    name="reproduce",
    help="Repeat the paper's experiments; each writes a report page with its figures.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(reproduce)


@contextmanager
def bar_of_steps(console: Console, first: str) -> Iterator[Callable[[str, int, int], None]]:
    """Draw one progress bar for all that an experiment does.

    Yields what is told (what is done, steps done, steps in all).
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(first, total=None)

        def tell(title: str, done: int, total: int) -> None:
            bar.update(task, description=title, completed=done, total=total)

        yield tell
