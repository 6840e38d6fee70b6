"""Command line: the same functions as the window, without a window.

Heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_hirescam.errors import HirescamError, InputError

if TYPE_CHECKING:
    from rich.console import Console

    from napari_hirescam.attention import Explanation, TargetReport
    from napari_hirescam.models import Classifier, TrustRequest
    from napari_hirescam.volume import Volume

app = typer.Typer(
    name="napari-hirescam",
    help="Where did the model look? HiResCAM attention for CT classifiers.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

#: Without --label, the labels the model finds at least this probable are written.
_LIKELY = 0.5

CTPath = Annotated[Path, typer.Argument(help="NIfTI file or DICOM folder", show_default=False)]
ModelPath = Annotated[Path, typer.Option("--model", help="model folder", show_default=False)]
Trust = Annotated[
    bool, typer.Option("--trust", help="agree to run the Python code the model brings")
]
At = Annotated[
    str | None, typer.Option("--at", help="centre of a patch model's window: L,P,S in mm")
]
Series = Annotated[str | None, typer.Option(help="UID or number of the DICOM series to read")]


@app.command("explain")
def explain_command(
    ct: CTPath,
    model: ModelPath,
    out: Annotated[Path, typer.Option("--out", help="folder for maps and scores")],
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="label to map; repeat for more. Default: all likely ones"),
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="hirescam, gradcam; repeat for more")
    ] = None,
    at: At = None,
    placement: Annotated[
        Literal["receptive_field", "stretch"] | None,
        typer.Option(help="where cells lie: their receptive field, or stretched as in the paper"),
    ] = None,
    series: Series = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: what there is")] = None,
    trust: Trust = False,
    assume_hu: Annotated[
        bool,
        typer.Option("--assume-hu", help="take the values for HU although they do not look so"),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace files in --out")] = False,
) -> None:
    """Score a CT and write the attention maps as NIfTI on the CT's own grid."""
    with _errors_in_one_line() as console:
        from napari_hirescam.attention import METHODS, explain
        from napari_hirescam.attention.export import refuse_existing, save_maps
        from napari_hirescam.io import read_volume

        methods = method or ["hirescam"]
        _require_known("--method", methods, METHODS)
        classifier = _load(model, trust=trust, device=device)
        _require_known("--label", label or [], classifier.labels)
        point = _point(at)
        if not overwrite:
            # The scores are always written: an earlier run is met before the work, not after.
            refuse_existing(out, [])
        with _progress(console, "Reading the CT") as tell:
            volume = read_volume(ct, series=series, progress=tell)
        if assume_hu:
            volume = _as_hu(volume)
        for note in volume.source.notes if volume.source else ():
            _note(console, note)
        with _progress(console, "Computing") as tell:
            result = explain(
                volume,
                classifier,
                methods=list(dict.fromkeys(["hirescam", *methods])),
                at_mm=point,
                progress=tell,
            )
        for note in result.provenance["notes"][len(volume.source.notes) if volume.source else 0 :]:
            _note(console, note)
        wanted = label or _likely(result)
        with _progress(console, "Writing maps") as tell:
            files = save_maps(
                result,
                volume,
                wanted,
                methods,
                out,
                overwrite=overwrite,
                placement=placement,
                progress=tell,
            )
        _print_scores(result, wanted)
        print(f"Wrote {len(files)} files to {out}")  # noqa: T201 - the command's answer


@app.command()
def view(
    ct: CTPath,
    model: Annotated[Path | None, typer.Option("--model", help="model folder")] = None,
    series: Series = None,
) -> None:
    """Open napari with a CT, and with a model's attention over it."""
    with _errors_in_one_line():
        from napari_hirescam.plugin.view import open_viewer

        open_viewer(ct, model, series=series)


@app.command()
def info(
    model: Annotated[Path, typer.Argument(help="model folder", show_default=False)],
    trust: Trust = False,
) -> None:
    """Say what a model is, what it expects, and what its maps can be trusted for."""
    with _errors_in_one_line():
        from napari_hirescam.attention import examine_target_layer

        classifier = _load(model, trust=trust, device="cpu")
        for line in _describe(classifier, examine_target_layer(classifier)):
            print(line)  # noqa: T201 - the command's answer


@app.command()
def demo(
    out: Annotated[
        Path | None,
        typer.Option(help="write screenshots, maps and scores here and quit; default: stay open"),
    ] = None,
) -> None:
    """Run the sample model on the sample CT and show where it looked."""
    with _errors_in_one_line():
        from napari_hirescam.plugin.demo import run_demo

        run_demo(out)


@contextmanager
def _errors_in_one_line() -> Iterator[Console]:
    from rich.console import Console

    console = Console(stderr=True)
    try:
        yield console
    except HirescamError as exc:
        console.print(f"Error: {exc}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from exc


@contextmanager
def _progress(console: Console, title: str) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _note(console: Console, text: str) -> None:
    # Descriptions in a CT may hold square brackets, which rich would take for markup.
    console.print(f"Note: {text}", highlight=False, markup=False)


def _load(path: Path, *, trust: bool, device: str | None) -> Classifier:
    from napari_hirescam.models import load_model

    def ask(request: TrustRequest) -> bool:
        if trust:
            return True
        if not sys.stdin.isatty():
            return False
        typer.echo(request.code)
        return typer.confirm(f"Run {request.path} (SHA-256 {request.sha256})?", default=False)

    return load_model(path, trust=ask, device=device)


def _require_known(option: str, given: list[str], known: Iterable[str]) -> None:
    names = list(known)
    missing = [name for name in given if name not in names]
    if missing:
        raise InputError(option, f"unknown: {', '.join(missing)}", f"Known: {', '.join(names)}")


def _point(text: str | None) -> tuple[float, float, float] | None:
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


def _as_hu(volume: Volume) -> Volume:
    from napari_hirescam.volume import Quantity

    return replace(volume, quantity=Quantity.HU)


def _likely(result: Explanation) -> list[str]:
    ranked = result.ranked()
    likely = [name for name in ranked if result.probabilities[result.index(name)] >= _LIKELY]
    return likely or ranked[:1]


def _print_scores(result: Explanation, wanted: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("label", "p", "logit", "sum + bias", "residual", "proof", "map")
    for name in result.ranked():
        k = result.index(name)
        proof = ["-", "-", "not guaranteed"]
        if result.guarantee.holds:
            total = result.total(name) + result.bias[k]
            word = "verified" if result.verified(name) else "NOT verified"
            proof = [f"{total:.6g}", f"{result.residual(name):.1e}", word]
        table.add_row(
            Text(name),
            f"{result.probabilities[k]:.4f}",
            f"{result.logits[k]:.6g}",
            *proof,
            "written" if name in wanted else "",
        )
    console = Console()
    console.print(table)
    console.print(
        f"Guarantee: {result.guarantee.state.value}: {result.guarantee.reason}.",
        markup=False,
        highlight=False,
    )


def _describe(classifier: Classifier, report: TargetReport) -> list[str]:
    spec = classifier.spec
    given = spec.input
    size = " x ".join("any" if n is None else str(n) for n in given.shape)
    spacing = (
        f"at {' x '.join(f'{s:g}' for s in given.spacing_mm)} mm"
        if given.spacing_mm
        else "at the CT's own spacing"
    )
    low, high = given.window_hu
    cells = " x ".join(map(str, report.cells))
    lines = [f"Model:        {spec.name}"]
    if spec.description:
        lines.append(f"              {spec.description}")
    lines += [
        f"Labels:       {len(spec.labels)}: {', '.join(spec.labels)}",
        f"Input:        {size} voxels {spacing}, axes {given.orientation}",
        f"Window:       {low:g} to {high:g} HU",
        f"Target layer: {spec.target_layer}: {report.channels} feature maps of {cells} cells",
    ]
    if report.cell_mm and report.receptive_field_mm:
        lines.append(
            f"A cell:       every {' x '.join(f'{s:g}' for s in report.cell_mm)} mm, sees "
            f"{' x '.join(f'{s:g}' for s in report.receptive_field_mm)} mm"
        )
    lines += [
        f"Guarantee:    {report.guarantee.state.value}: {report.guarantee.reason}",
        f"Weights:      SHA-256 {classifier.weights_sha256}",
    ]
    for name, value in spec.metrics.items():
        lines.append(f"Metric:       {name}: {value}")
    return lines
