"""What the commands share: options, errors in one line, progress, loading."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_hirescam.errors import HirescamError, InputError
from napari_hirescam.source import Repair

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from napari_hirescam.attention import Guarantee
    from napari_hirescam.io import Item
    from napari_hirescam.models import Classifier, TrustRequest
    from napari_hirescam.models.trust import AskTrust
    from napari_hirescam.volume import Volume

CTPath = Annotated[
    Path,
    typer.Argument(
        help="DICOM folder, file or zip; NIfTI, NRRD, MetaImage or npz file", show_default=False
    ),
]
ModelPath = Annotated[
    Path, typer.Option("--model", help="model folder, or its zip", show_default=False)
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="agree to run the code the model brings; the yes is remembered for these very files",
    ),
]
At = Annotated[
    str | None, typer.Option("--at", help="centre of a patch model's window: L,P,S in mm")
]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda or mps; default: the fastest there is")
]
TargetLayer = Annotated[
    str | None,
    typer.Option("--target-layer", help="explain this layer; `layers` lists what there is"),
]
Series = Annotated[
    str | None,
    typer.Option(help="which of several things in the file or folder; `info` lists them"),
]
Allow = Annotated[
    list[Repair] | None,
    typer.Option("--allow", help="agree to this repair of the scan; repeat for more"),
]
AssumeHU = Annotated[
    bool,
    typer.Option("--assume-hu", help="take the values for HU although they do not look so"),
]


_WIDE = 200  # characters
_BESIDE_KEY = 60  # characters that the other columns of a table of items need


@contextmanager
def errors_in_one_line() -> Iterator[Console]:
    """Say a failure of ours in one red line and leave with status 1."""
    from rich.console import Console

    console = Console(stderr=True)
    try:
        yield console
    except HirescamError as exc:
        console.print(f"Error: {exc}", style="red", highlight=False, markup=False, soft_wrap=True)
        _print_answers(wide_console(stderr=True), exc)
        raise typer.Exit(1) from exc


def _print_answers(console: Console, error: HirescamError) -> None:
    """Where a reader asks something, print the options that answer it."""
    from napari_hirescam.geometry_report import effect_of
    from napari_hirescam.io import ChoiceNeededError, ConsentNeededError

    if isinstance(error, ChoiceNeededError):
        print_items(console, error.items)
    elif isinstance(error, ConsentNeededError):
        for repair in error.repairs:
            console.print(
                f"--allow {repair.value}  {effect_of(repair)}", highlight=False, markup=False
            )


def print_items(console: Console, items: Sequence[Item]) -> None:
    """Print what a path holds, with the keys --series takes."""
    table = _item_table(items)
    if max(len(item.key) for item in items) + _BESIDE_KEY <= console.width:
        console.print(table)
        return
    # A mask's key is so long that a narrow terminal would have a letter's room for each column.
    headers = [str(column.header) for column in table.columns[1:]]
    rows = zip(*(column.cells for column in table.columns), strict=True)
    for key, *cells in rows:
        console.print(f"--series {key}", highlight=False, markup=False, soft_wrap=True)
        for header, cell in zip(headers, cells, strict=True):
            if str(cell):
                console.print(f"    {header}: {cell}", highlight=False, markup=False)


def _item_table(items: Sequence[Item]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table
    from rich.text import Text

    from napari_hirescam.geometry_report import times

    headers = ("kind", "description", "slices", "size", "spacing mm", "kernel", "remark")
    # A key is there to be copied: never shortened.
    key = Column("--series", no_wrap=True, overflow="fold")
    table = Table(key, *(Column(name, overflow="fold") for name in headers), box=SIMPLE_HEAD)
    for item in items:
        remark = item.problem
        if item.needs:
            remark += f"; --allow {' or '.join(item.needs)}"
        table.add_row(
            Text(item.key if item.is_readable else "-"),
            Text(item.kind),
            Text(f"{item.number}: {item.title}" if item.number else item.title),
            str(item.n_slices) if item.n_slices else "",
            times(item.size) if item.size else "",
            times(item.spacing_mm) if item.spacing_mm else "",
            Text(item.kernel),
            Text(remark),
        )
    return table


def read_ct(
    console: Console,
    path: Path,
    *,
    series: str | None,
    allow: Iterable[Repair] | None,
    assume_hu: bool = False,
) -> Volume:
    """Read a CT with a progress bar, and print what the reader found worth saying."""
    from napari_hirescam.io import read_volume

    with progress_bar(console, "Reading the CT") as tell:
        volume = read_volume(path, series=series, allow=allow or (), progress=tell)
    for text in volume.source.notes if volume.source else ():
        note(console, text)
    return as_hu(volume) if assume_hu else volume


@contextmanager
def progress_bar(console: Console, title: str) -> Iterator[Callable[[int, int], None]]:
    """Draw a progress bar on stderr; yields the function to be told (done, total)."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def wide_console(*, stderr: bool = False) -> Console:
    """Make the console tables are printed on; into a file or a pipe no row is broken."""
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_WIDE)


def in_words(guarantee: Guarantee) -> str:
    """Name the state with its reason, and what it is that is identical."""
    from napari_hirescam.attention import GuaranteeState

    same = guarantee.state is GuaranteeState.IDENTICAL or guarantee.same_picture
    more = "; Grad-CAM is the same map" if same else ""
    return f"{guarantee.state.value}: {guarantee.reason}{more}"


def note(console: Console, text: str) -> None:
    """Print a note as it is."""
    # Descriptions in a CT may hold square brackets, which rich would take for markup.
    console.print(f"Note: {text}", highlight=False, markup=False, soft_wrap=True)


def load_classifier(
    path: Path, *, trust: bool, device: str | None, target_layer: str | None = None
) -> Classifier:
    """Load a model; asks on a terminal before it runs code the model brings.

    `target_layer` takes the place of the one the model names.
    """
    from napari_hirescam.models import load_model
    from napari_hirescam.models.dry_run import UnknownLayerError

    classifier = load_model(path, trust=ask_in_terminal(trust=trust), device=device)
    if target_layer is None:
        return classifier
    try:
        return classifier.with_target_layer(target_layer)
    except UnknownLayerError as exc:
        raise InputError(
            "--target-layer", str(exc), f"List them with: napari-hirescam layers {path}"
        ) from exc


def ask_in_terminal(*, trust: bool) -> AskTrust:
    """Return what asks before a model's code runs: a yes by --trust, else on a terminal."""

    def ask(request: TrustRequest) -> bool:
        from napari_hirescam.models.trust import readable

        what = f"{readable(str(request.path))} (SHA-256 {request.sha256})"
        if trust:
            typer.echo(f"Agreed to run: {what}", err=True)
            return True
        if not sys.stdin.isatty():
            return False
        typer.echo(request.code)
        return typer.confirm(f"Run {what}?", default=False)

    return ask


def require_known(option: str, given: list[str], known: Iterable[str]) -> None:
    """Raise InputError if an option was given a name that is not known."""
    names = list(known)
    missing = [name for name in given if name not in names]
    if missing:
        raise InputError(option, f"unknown: {', '.join(missing)}", f"Known: {', '.join(names)}")


def parse_point(text: str | None) -> tuple[float, float, float] | None:
    """Parse L,P,S into the package's (I, P, L)."""
    if text is None:
        return None
    try:
        left, posterior, superior = (float(part) for part in text.split(","))
    except ValueError as exc:
        raise InputError(
            "--at", f"{text!r} is not a point", "Give L,P,S in mm, 10.5,-32,120 say"
        ) from exc
    return -superior, posterior, left


def as_hu(volume: Volume) -> Volume:
    """Take the volume's values for HU, on the user's word."""
    from napari_hirescam.volume import Quantity

    return replace(volume, quantity=Quantity.HU)
