"""``info``: what a scan is and how it lies in the patient, or what a model is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_hirescam.cli.app import app
from napari_hirescam.cli.common import (
    Allow,
    Series,
    Trust,
    errors_in_one_line,
    load_classifier,
    print_items,
    progress_bar,
    wide_console,
)

if TYPE_CHECKING:
    from rich.console import Console

    from napari_hirescam.source import Repair


@app.command()
def info(
    path: Annotated[
        Path,
        typer.Argument(
            help="a scan or a mask, file or folder; or the folder or zip of a model",
            show_default=False,
        ),
    ],
    series: Series = None,
    allow: Allow = None,
    identifying: Annotated[
        bool, typer.Option("--identifying", help="also print the tags that identify the patient")
    ] = False,
    trust: Trust = False,
) -> None:
    """Say what a scan is and how it lies in the patient, or what a model is and expects."""
    with errors_in_one_line() as console:
        if _is_model(path):
            _print_model(path, trust=trust)
        else:
            _print_scan(console, path, series, allow, identifying=identifying)


def _is_model(path: Path) -> bool:
    """True for what holds no scan, and is a model's folder, a zip or a model.yaml."""
    from napari_hirescam.io import can_read

    if can_read(path) or not path.exists():
        return False
    from napari_hirescam.models.folder import is_model_folder

    return is_model_folder(path) or path.suffix.lower() in {".zip", ".yaml", ".yml"}


def _print_model(path: Path, *, trust: bool) -> None:
    from napari_hirescam.attention import examine_target_layer
    from napari_hirescam.cli.models import describe_model

    classifier = load_classifier(path, trust=trust, device="cpu")
    for line in describe_model(classifier, examine_target_layer(classifier)):
        print(line)  # noqa: T201 - the command's answer


def _print_scan(
    console: Console,
    path: Path,
    series: str | None,
    allow: list[Repair] | None,
    *,
    identifying: bool,
) -> None:
    from napari_hirescam.geometry_report import geometry_report, report_as_text
    from napari_hirescam.io import ChoiceNeededError, read_volume

    try:
        with progress_bar(console, "Reading") as tell:
            volume = read_volume(path, series=series, allow=allow or (), progress=tell)
    except ChoiceNeededError as error:
        if series is not None:
            raise
        # The list is the answer to what the folder holds.
        print(f"{path} holds {len(error.items)} things; name one by --series")  # noqa: T201
        print_items(wide_console(), error.items)
        return
    facts = geometry_report(volume)
    if identifying:
        from napari_hirescam.io import identifying_facts

        facts += identifying_facts(path)
    print(report_as_text(volume.name, facts))  # noqa: T201 - the command's answer
