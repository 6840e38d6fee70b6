"""``train``: a configuration and a table of cases in, a model folder out."""

from __future__ import annotations

import math
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_hirescam.cli.app import app
from napari_hirescam.cli.common import Trust, ask_in_terminal, errors_in_one_line, note

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from napari_hirescam.training import EpochRecord, TrainingSettings

#: What a shell reports for a command that Ctrl-C ended.
_INTERRUPTED = 130
_SHOWN_LABELS = 8
_FOLDER = re.compile(r"\w(?:[\w .,+-]{0,98}[\w+-])?")
#: Devices of Windows.
_NO_FOLDERS = {"CON", "PRN", "AUX", "NUL"}


@app.command("train")
def train_model(
    config: Annotated[
        Path, typer.Argument(help="YAML file of settings; see docs/training.md", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="folder for model, log and checkpoints. Default: the 'name'"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on from the last checkpoint in --out")
    ] = False,
    reviewed: Annotated[
        list[Path] | None,
        typer.Option(
            "--reviewed",
            help="review whose decisions count (data.reviewed); repeat for those that settle it",
        ),
    ] = None,
    trust: Trust = False,
) -> None:
    """Train a classifier with the mask loss, on a table of files, RAD-ChestCT or phantoms."""
    with errors_in_one_line() as console:
        from napari_hirescam.errors import Cancelled
        from napari_hirescam.training import read_settings, train
        from napari_hirescam.training.machine import is_first_process, require_packages

        settings = with_reviews(read_settings(config), reviewed or [])
        require_packages(settings.run)
        folder = out or _folder_of(settings.name)
        tells = is_first_process()
        with asked_by_ctrl_c(console) as asked, _told(console, settings, tells=tells) as bar:
            try:
                result = train(
                    settings,
                    out=folder,
                    resume=resume,
                    progress=bar,
                    report=lambda record: _print_epoch(record, settings) if tells else None,
                    note=lambda text: note(console, text),
                    should_stop=asked,
                    trust=ask_in_terminal(trust=trust),
                )
            except Cancelled:
                again = f"napari-hirescam train {config} --out {folder} --resume"
                again += "".join(f" --reviewed {path}" for path in reviewed or [])
                if tells:
                    note(console, f"Stopped. Go on with: {again}")
                raise typer.Exit(_INTERRUPTED) from None
        if not tells:
            return
        best = next(r for r in result.history if r.epoch == result.best_epoch)
        _print_labels(best, console)
        last = len(result.history)
        why = (
            "; no better one came for as long as 'patience' allows" if result.stopped_early else ""
        )
        typer.echo(f"Wrote {result.model_folder}: epoch {best.epoch + 1} of {last}{why}")


def with_reviews(settings: TrainingSettings, reviews: list[Path]) -> TrainingSettings:
    """Name reviews in the settings, in the place of those that are named there."""
    if not reviews:
        return settings
    from napari_hirescam.training.settings import ReviewedSettings

    files = tuple(str(path.expanduser().absolute()) for path in reviews)
    before = settings.data.reviewed
    told = (
        ReviewedSettings(files=files)
        if before is None
        else before.model_copy(update={"files": files})
    )
    data = settings.data.model_copy(update={"reviewed": told})
    return settings.model_copy(update={"data": data})


def _folder_of(name: str) -> Path:
    """Take a model's name for the folder of its training, where any system would."""
    from napari_hirescam.errors import SettingsError

    if not _FOLDER.fullmatch(name) or name.upper() in _NO_FOLDERS:
        raise SettingsError("name", f"{name[:40]!r} is no name for a folder", "Give --out")
    return Path(name)


@contextmanager
def asked_by_ctrl_c(console: Console) -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C ask for an end at the next step, and the second one end at once."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        note(console, "Stopping after this step; press Ctrl-C again to stop at once.")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _told(
    console: Console, settings: TrainingSettings, *, tells: bool
) -> Iterator[Callable[[int, int], None] | None]:
    """Draw a progress bar with the epoch, on a terminal and in the first process."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    if not (tells and console.is_terminal):
        yield None
        return
    epochs = settings.run.epochs
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Reading the cases", total=None)

        def tell(done: int, total: int) -> None:
            epoch = min((done - 1) * epochs // total, epochs - 1) + 1
            bar.update(task, completed=done, total=total, description=f"Epoch {epoch}/{epochs}")

        yield tell


def _print_epoch(record: EpochRecord, settings: TrainingSettings) -> None:
    """Print what was measured in an epoch, in a line."""
    figures = record.figures
    parts = [
        f"epoch {record.epoch + 1:>3}/{settings.run.epochs}",
        f"train {figures['train_loss']:.4f}",
        f"valid {figures['valid_loss']:.4f}",
        f"(labels {figures['valid_class_loss']:.4f}, mask {figures['valid_mask_loss']:.4f})",
    ]
    if not math.isnan(figures["valid_auroc"]):
        parts.append(f"AUROC {figures['valid_auroc']:.3f}")
    if "valid_share_inside" in figures:
        parts.append(f"inside {100 * figures['valid_share_inside']:.0f}%")
    if record.is_best:
        parts.append("best so far")
    typer.echo("  ".join(parts))
    sys.stdout.flush()


def _print_labels(record: EpochRecord, console: Console) -> None:
    """Print the AUROC of each label of the best epoch, the lowest ones first."""
    start = "valid_auroc/"
    found = sorted(
        (value, name.removeprefix(start))
        for name, value in record.figures.items()
        if name.startswith(start) and not math.isnan(value)
    )
    if not found:
        note(console, "No label is both present and absent in the validation split: no AUROC.")
        return
    lowest = ", ".join(f"{label} {value:.3f}" for value, label in found[:_SHOWN_LABELS])
    more = f", and {len(found) - _SHOWN_LABELS} more" if len(found) > _SHOWN_LABELS else ""
    typer.echo(f"AUROC on the validation split, the lowest first: {lowest}{more}")
