"""The command line's root, to which each module of commands adds its own."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="napari-hirescam",
    help="Where did the model look? HiResCAM attention for CT classifiers.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
