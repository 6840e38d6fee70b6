"""``explain``: scores and maps of one CT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_hirescam.cli.app import app
from napari_hirescam.cli.common import (
    Allow,
    AssumeHU,
    At,
    CTPath,
    Device,
    ModelPath,
    Series,
    TargetLayer,
    Trust,
    errors_in_one_line,
    in_words,
    load_classifier,
    note,
    parse_point,
    progress_bar,
    read_ct,
    require_known,
    wide_console,
)
from napari_hirescam.errors import InputError

if TYPE_CHECKING:
    from napari_hirescam.attention import Explanation

#: Without --label, the labels the model finds at least this probable are written.
_LIKELY = 0.5


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
        list[str] | None,
        typer.Option("--method", help="hirescam, gradcam, layercam ...; repeat for more"),
    ] = None,
    target_layer: TargetLayer = None,
    at: At = None,
    placement: Annotated[
        Literal["receptive_field", "stretch"] | None,
        typer.Option(help="where cells lie: their receptive field, or stretched as in the paper"),
    ] = None,
    series: Series = None,
    allow: Allow = None,
    device: Device = None,
    mixed_precision: Annotated[
        bool, typer.Option("--mixed-precision", help="faster on some devices, less exact")
    ] = False,
    trust: Trust = False,
    assume_hu: AssumeHU = False,
    map_format: Annotated[
        Literal["nii.gz", "nrrd", "dicom"],
        typer.Option(
            "--format",
            help="how to write maps; dicom: parametric maps over a series, naming its patient",
        ),
    ] = "nii.gz",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace files in --out")] = False,
) -> None:
    """Score a CT and write the attention maps on the CT's own grid."""
    with errors_in_one_line() as console:
        from napari_hirescam.attention import METHODS, explain
        from napari_hirescam.attention.export import refuse_existing, refuse_format, save_maps

        methods = method or ["hirescam"]
        require_known("--method", methods, METHODS)
        classifier = load_classifier(model, trust=trust, device=device, target_layer=target_layer)
        require_known("--label", label or [], classifier.labels)
        point = parse_point(at)
        if not overwrite:
            # The scores are always written: an earlier run is met before the work, not after.
            refuse_existing(out, [])
        volume = read_ct(console, ct, series=series, allow=allow, assume_hu=assume_hu)
        refuse_format(volume, map_format)
        with progress_bar(console, "Computing") as tell:
            result = explain(
                volume,
                classifier,
                methods=list(dict.fromkeys(["hirescam", *methods])),
                at_mm=point,
                mixed_precision=mixed_precision,
                progress=tell,
            )
        for text in result.provenance["notes"][len(volume.source.notes) if volume.source else 0 :]:
            note(console, text)
        methods = [key for key in methods if key in result.maps]
        if not methods:
            raise InputError(
                "--method",
                f"no such map at {result.target_layer}: {result.guarantee.reason}",
                "Ask for hirescam, or choose another --target-layer",
            )
        wanted = label or _likely(result)
        with progress_bar(console, "Writing maps") as tell:
            files = save_maps(
                result,
                volume,
                wanted,
                methods,
                out,
                map_format=map_format,
                overwrite=overwrite,
                placement=placement,
                progress=tell,
            )
        _print_scores(result, wanted)
        print(f"Wrote {len(files)} files to {out}")  # noqa: T201 - the command's answer


def _likely(result: Explanation) -> list[str]:
    ranked = result.ranked()
    likely = [name for name in ranked if result.probabilities[result.index(name)] >= _LIKELY]
    return likely or ranked[:1]


def _print_scores(result: Explanation, wanted: list[str]) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    # A label is there to be copied into --label: never shortened.
    table = Table(
        Column("label", no_wrap=True, overflow="fold"),
        "p",
        "logit",
        "sum + bias",
        "residual",
        "proof",
        "map",
    )
    for name in result.ranked():
        k = result.index(name)
        proof = ["-", "-", "approximation"]
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
    console = wide_console()
    console.print(table)
    console.print(
        f"Guarantee: {in_words(result.guarantee)}.",
        markup=False,
        highlight=False,
    )
