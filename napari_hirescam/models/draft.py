"""From a weights file to a model folder: build, suggest what is not said, write.

The steps of "New model folder..." and of ``convert``. Nothing is written but by
:func:`save_draft`, and callers call it only after :func:`models.proving.prove` held.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from napari_hirescam.errors import InputError, ModelFileError
from napari_hirescam.models.architectures import build_by_name, default_target_layer
from napari_hirescam.models.folder import SPEC_FILE, save_model
from napari_hirescam.models.own_python import build_agreed, carry_trust
from napari_hirescam.models.spec import (
    Architecture,
    InputSpec,
    ModelSpec,
    OutputSpec,
)
from napari_hirescam.models.weights import load_into
from napari_hirescam.models.weights_facts import WeightsFacts
from napari_hirescam.safe_write import replace_file

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_hirescam.models.trust import UserCode

Section = TypeVar("Section", ModelSpec, InputSpec, Architecture, OutputSpec)

WEIGHTS_FILE = "weights.safetensors"


def build_network(
    facts: WeightsFacts,
    architecture: Architecture,
    n_labels: int,
    code: UserCode | None = None,
) -> nn.Module:
    """Build the network and load the weights into it, strictly.

    Parameters
    ----------
    facts
        The weights.
    architecture
        A registered name, or the user's Python.
    n_labels
        Width of the output; the user's Python is told by its own arguments.
    code
        The Python that was agreed to; needed where `architecture.python` is set.

    Raises
    ------
    ModelFileError
        The network cannot be built, or the weights are not its own.
    """
    if code is not None:
        network = build_agreed(code, architecture.callable or "", architecture.arguments)
    else:
        network = build_by_name(
            architecture.name or "", n_labels, architecture.arguments, facts.file
        )
    own = set(network.state_dict())
    # A user's network may really be called "model.", and the prefix belongs to it then.
    as_it_is = len(own & set(facts.state)) >= len(own & set(facts.plain_state))
    whole = as_it_is and not facts.left_out
    load_into(network, facts.state if whole else facts.plain_state, facts.file)
    return network


def plain_value(text: str) -> Any:
    """Read the value of an argument as model.yaml would: true, 3, [1, 2], text.

    Raises
    ------
    InputError
        It is no plain value.
    """
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise InputError(
            "arguments", f"{text!r} is not a plain value", "Give 3, true, [1, 2] or text"
        ) from exc


def suggest_activation(n_labels: int) -> Literal["sigmoid", "softmax"]:
    """Two outputs are mostly one of two classes; one, or many, are mostly findings."""
    return "softmax" if n_labels == 2 else "sigmoid"


def placeholder_layer(network: nn.Module) -> str:
    """Name some layer with spatial axes, to work with until one is chosen."""
    from torch import nn as torch_nn

    own = default_target_layer(network)
    if own is not None:
        return own
    kinds = (torch_nn.Conv1d, torch_nn.Conv2d, torch_nn.Conv3d)
    names = [name for name, module in network.named_modules() if isinstance(module, kinds)]
    return names[-1] if names else next((n for n, _ in network.named_modules() if n), "")


def draft_spec(
    facts: WeightsFacts,
    architecture: Architecture,
    labels: tuple[str, ...],
    input_spec: InputSpec,
    target_layer: str,
    **more: Any,
) -> ModelSpec:
    """Put the parts of a draft together.

    Parameters
    ----------
    facts, architecture, labels, input_spec, target_layer
        As the user chose them.
    more
        Further fields of :class:`ModelSpec`: name, description, activation, output, ...

    Raises
    ------
    InputError
        A field is wrong; `subject` is its name.
    """
    provenance: dict[str, Any] = {
        "converted_from": facts.file.name,
        "original_sha256": facts.sha256,
    }
    if facts.entry:
        provenance["checkpoint_entry"] = facts.entry
    fields = {
        "name": facts.file.stem,
        "architecture": architecture,
        "weights": WEIGHTS_FILE,
        "labels": labels,
        "input": input_spec,
        "target_layer": target_layer,
        "provenance": provenance,
        **more,
    }
    return validated(ModelSpec, fields)


def validated(kind: type[Section], fields: Mapping[str, Any]) -> Section:
    """Make a section, or say which of its fields is wrong.

    Raises
    ------
    InputError
        `subject` is the name of the first wrong field.
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate(fields)
    except ValidationError as exc:
        fault = exc.errors()[0]
        subject = ".".join(map(str, fault["loc"])) or kind.__name__.removesuffix("Spec").lower()
        reason = str(fault["msg"]).removeprefix("Value error, ")
        raise InputError(subject, reason, "Mend this field") from exc


def save_draft(
    folder: Path,
    spec: ModelSpec,
    network: nn.Module,
    code: UserCode | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the model folder: the user's Python if any, safetensors, model.yaml last.

    A yes to the Python holds for the folder too: it is the same code.

    Raises
    ------
    ModelFileError
        The folder is there already and not empty, or cannot be written.
    """
    fresh = not folder.exists()
    try:
        _require_free(folder, overwrite=overwrite)
        folder.mkdir(parents=True, exist_ok=True)
        if code is not None:
            replace_file(folder / code.file.name, code.source)
        save_model(folder, spec, _on_their_own(network.state_dict()))
        if code is not None:
            carry_trust(folder, code, [folder / SPEC_FILE, folder / WEIGHTS_FILE])
    except BaseException as exc:
        if fresh:  # half a model is no model, and would be in the way of the next attempt
            shutil.rmtree(folder, ignore_errors=True)
        if not isinstance(exc, OSError):
            raise
        raise ModelFileError(
            folder, f"it cannot be written: {exc.strerror or exc}", "Choose another place"
        ) from exc
    return folder


def _require_free(folder: Path, *, overwrite: bool) -> None:
    taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if taken and not (overwrite and folder.is_dir()):
        raise ModelFileError(
            folder, "it is there already", "Choose a new folder, or agree to overwrite it"
        )


def _on_their_own(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share their memory: safetensors holds each for itself."""
    seen: set[int] = set()
    own = {}
    for name, value in state.items():
        plain = value.detach().cpu()
        place = plain.untyped_storage().data_ptr()
        own[name] = plain.clone() if place in seen else plain
        seen.add(place)
    return own
