"""Labels and input section of ``convert``: what was given, else what the weights tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.cli.option_values import named_by_option, option_of
from napari_hirescam.errors import InputError
from napari_hirescam.models.draft import validated
from napari_hirescam.models.input_guess import suggest_input
from napari_hirescam.models.label_text import read_labels
from napari_hirescam.models.spec import INPUT_PRESETS, Architecture, InputSpec
from napari_hirescam.models.weights_facts import WeightsFacts

if TYPE_CHECKING:
    from torch import nn

Say = Callable[[str], None]


def labels_of(text: str | None, width: int | None, *, sure: bool) -> tuple[str, ...]:
    """Read the labels, as many as the network has outputs.

    Parameters
    ----------
    text
        What the user gave: names, or the path of a file of them.
    width
        Number of outputs, or None where the weights do not tell.
    sure
        False where the width is only the likely one; then it is no fault to differ from it.

    Raises
    ------
    InputError
        They are missing, no file, or not as many; `subject` is the option.
    """
    if text is None:
        outputs = (
            f"{'' if sure else 'probably '}{width} outputs" if width is not None else "outputs"
        )
        raise InputError(
            "--labels",
            f"the network has {outputs}, and weights do not name them",
            "Give a,b,c or a file, in the order of the outputs",
        )
    names = read_labels(Path(text) if Path(text).is_file() else text)
    if len(names) == 1 and Path(text).suffix in (".txt", ".csv", ".tsv"):
        raise InputError("--labels", f"there is no file {text}", "Give the file of labels")
    if sure and width is not None and len(names) != width:
        raise InputError(
            "--labels",
            f"there are {len(names)}, and the network has {width} outputs",
            "Give one label per output",
        )
    return names


def input_of(
    facts: WeightsFacts,
    architecture: Architecture,
    network: nn.Module,
    preset: str | None,
    given: Mapping[str, Any],
    guess: Say,
) -> InputSpec:
    """Fill the input section: a preset or what the weights suggest, and what was given.

    Raises
    ------
    InputError
        A field is not known or does not fit; `subject` is the option.
    """
    if preset is not None:
        fields = INPUT_PRESETS[preset].model_dump()
    else:
        suggested = suggest_input(facts, architecture, network)
        fields = suggested.input.model_dump()
        missing = [field for field in suggested.unknown if field not in given]
        if missing:
            raise InputError(
                option_of(missing[0]),
                "the weights do not tell the size of the input the network was trained with",
                "Give slices,rows,columns",
            )
        for field, words in suggested.guessed.items():
            if field not in given:
                guess(f"{option_of(field)} {words}")
    if given.get("layout", fields["layout"]) != fields["layout"]:
        # ImageNet's are suggested for the slices of a 2-D network alone.
        fields["channel_mean"] = fields["channel_std"] = None
    with named_by_option():
        return validated(InputSpec, {**fields, **given})
