"""``convert``: a checkpoint becomes a model folder, proven before it is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_hirescam.cli.app import app
from napari_hirescam.cli.common import Trust, ask_in_terminal, errors_in_one_line, progress_bar
from napari_hirescam.errors import ModelFileError

if TYPE_CHECKING:
    from napari_hirescam.cli.converting import Conversion
    from napari_hirescam.models.proving import Proof

Text = str | None


@app.command()
def convert(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help=".safetensors, .pt/.pth (weights-only), MONAI bundle", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="model folder to write", show_default=False)],
    architecture: Annotated[
        Text, typer.Option(help="registered name, 'axialnet' or 'monai.DenseNet121' say")
    ] = None,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", help="key=value for it; repeat for more")
    ] = None,
    labels: Annotated[
        Text,
        typer.Option(help="a,b,c in the order of the outputs, or a file, or 'radchest-80'"),
    ] = None,
    preset: Annotated[
        Literal["axialnet", "ct-net"] | None, typer.Option(help="published way to feed a CT")
    ] = None,
    shape: Annotated[Text, typer.Option(help="input voxels: slices,rows,columns; any,224,224")] = (
        None
    ),
    window: Annotated[Text, typer.Option(help="HU: low,high")] = None,
    scale: Annotated[Text, typer.Option(help="what the window becomes: low,high, or none")] = None,
    subtract: Annotated[float | None, typer.Option(help="subtracted after scaling")] = None,
    spacing: Annotated[Text, typer.Option(help="mm: slices,rows,columns, or one number")] = None,
    orientation: Annotated[Text, typer.Option(help="where the axes grow to: IPL, SPL")] = None,
    fit: Annotated[
        Literal["centre", "window", "resize"] | None, typer.Option(help="how a CT is made to fit")
    ] = None,
    padding: Annotated[Text, typer.Option(help="outside the CT: minimum, edge, or HU")] = None,
    layout: Annotated[
        Literal["volume", "axial_triples", "slice", "slices"] | None,
        typer.Option(help="how voxels become the input tensor"),
    ] = None,
    channels: Annotated[int | None, typer.Option(help="copies along the channel axis")] = None,
    channel_mean: Annotated[
        Text, typer.Option(help="subtracted from each channel: numbers by commas, or none")
    ] = None,
    channel_std: Annotated[
        Text, typer.Option(help="each channel is divided by it: numbers by commas, or none")
    ] = None,
    over_slices: Annotated[
        Literal["mean", "max"] | None, typer.Option(help="scores of 'slices' to those of the CT")
    ] = None,
    output: Annotated[
        Text, typer.Option(help="entry of the dict or tuple that holds the logits")
    ] = None,
    output_layer: Annotated[
        Text, typer.Option(help="layer that gives the logits, ahead of a built-in sigmoid")
    ] = None,
    activation: Annotated[
        Literal["sigmoid", "softmax"] | None, typer.Option(help="logits to probabilities")
    ] = None,
    target_layer: Annotated[Text, typer.Option(help="layer that is explained")] = None,
    name: Annotated[Text, typer.Option(help="what the model is called")] = None,
    key: Annotated[Text, typer.Option(help="entry of the checkpoint with the state dict")] = None,
    python: Annotated[
        Path | None, typer.Option(help="your own Python file with the network")
    ] = None,
    callable_name: Annotated[
        Text, typer.Option("--callable", help="class or function in it")
    ] = None,
    ct: Annotated[Path | None, typer.Option(help="CT to prove the model on; else noise")] = None,
    trust: Trust = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace files in --out")] = False,
) -> None:
    """Turn a checkpoint into a model folder: safetensors beside model.yaml.

    What is not said is guessed, and each guess printed; what cannot be known is asked for. The
    network runs once before anything is written.
    """
    with errors_in_one_line() as console:
        from napari_hirescam.cli import converting

        def guess(text: str) -> None:
            console.print(f"Guessed: {text}", highlight=False, markup=False)

        given = converting.input_options(
            shape=shape, window_hu=window, scale_to=scale, subtract=subtract, spacing_mm=spacing,
            orientation=orientation, fit=fit, padding=padding, layout=layout, channels=channels,
            channel_mean=channel_mean, channel_std=channel_std,
        )  # fmt: skip
        if out.exists() and not overwrite:
            raise ModelFileError(out, "it is there already", "Choose another, or --overwrite")
        draft = converting.convert_draft(
            checkpoint,
            network=converting.NetworkOptions(
                architecture, tuple(arg or ()), python, callable_name, key
            ),
            labels=labels,
            preset=preset,
            given=given,
            more={"name": name, "activation": activation, "target_layer": target_layer},
            output={"entry": output, "layer": output_layer, "over_slices": over_slices},
            ask=ask_in_terminal(trust=trust),
            guess=guess,
        )
        volume = None
        if ct is not None:
            from napari_hirescam.io import read_volume

            with progress_bar(console, "Reading the CT") as tell:
                volume = read_volume(ct, progress=tell)
        with progress_bar(console, "Proving") as tell:
            proof = draft.prove(volume, tell)
        converting.require(proof)
        draft.save(out, overwrite=overwrite)
        for line in _describe(draft, proof):
            print(line)  # noqa: T201 - the command's answer
        print(f"Wrote {out}")  # noqa: T201


def _describe(conversion: Conversion, proof: Proof) -> Iterator[str]:
    """Say what was made and what the proof showed."""
    spec, given = conversion.spec, conversion.spec.input
    size = " x ".join("any" if n is None else str(n) for n in given.shape)
    low, high = given.window_hu
    made_by = spec.architecture.name or f"{spec.architecture.python}: {spec.architecture.callable}"
    yield f"Architecture: {made_by} {spec.architecture.arguments or ''}".rstrip()
    yield f"Weights:      {conversion.facts.parameters:,} parameters"
    yield f"Labels:       {len(spec.labels)}: {', '.join(spec.labels)}"
    yield f"Input:        {given.layout}, {size} voxels, {low:g} to {high:g} HU"
    yield f"Target layer: {spec.target_layer}, output {list(proof.activation_shape or ())}"
    yield (
        f"Proof:        logits {list(proof.logits_shape or ())} from {proof.given} "
        f"in {proof.seconds:.2f} s"
    )
    for text in proof.notes:
        yield f"Note:         {text}"
