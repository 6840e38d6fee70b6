"""The model folder: ``model.yaml`` beside its weights."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models.architectures import build_by_name, build_from_python
from napari_hirescam.models.archive import unpack
from napari_hirescam.models.bundle import METADATA as BUNDLE_METADATA
from napari_hirescam.models.bundle import is_bundle, read_bundle
from napari_hirescam.models.classifier import Classifier, devices
from napari_hirescam.models.dry_run import UnknownLayerError
from napari_hirescam.models.label_lists import label_list_names, read_label_list
from napari_hirescam.models.program import load_program, read_program
from napari_hirescam.models.spec import ModelSpec
from napari_hirescam.models.trust import AskTrust, read_user_code, readable, require_trust
from napari_hirescam.models.weights import load_into, read_state_dict, sha256_of
from napari_hirescam.plain_yaml import read_plain_yaml
from napari_hirescam.safe_write import replace_file

if TYPE_CHECKING:
    from torch import Tensor, nn

SPEC_FILE = "model.yaml"
# Files that are a part of a model.
_NO_MODELS = frozenset(
    {".pt", ".pth", ".pkl", ".ckpt", ".state", ".bin", ".safetensors", ".pt2", ".ts", ".onnx"}
)
# batch, channel and at least two spatial axes
_LEAST_ACTIVATION_AXES = 4


def load_model(
    path: str | os.PathLike[str], *, trust: AskTrust | None = None, device: str | None = None
) -> Classifier:
    """Load a model folder.

    Parameters
    ----------
    path
        The folder, the model.yaml in it, or the folder's zip.
    trust
        Asked once before a model's own Python or saved program runs; None answers no. A yes is
        remembered for these very files.
    device
        'cpu', 'cuda', 'mps' or None for the fastest there is.

    Raises
    ------
    ModelFileError
        Anything missing, damaged or inconsistent; the message names file, reason and remedy.
    UntrustedModelError
        The model brings code and nobody agreed to run it.
    """
    file = _find_spec(Path(path).expanduser())
    spec, spec_sha256 = _read_spec(file)
    folder = file.parent.resolve()
    if spec.architecture.program is not None:
        program = read_program(
            _inside(folder, spec.architecture.program, file), {file.name: spec_sha256}
        )
        found, source = program.sha256, program.file
        _require_same_weights(spec, found, source)
        require_trust(program.request, trust)
        # The shape depends on the input section alone.
        shape = Classifier(spec, _nothing(), device="cpu").input_shape
        network = load_program(program, shape)
    else:
        source = _inside(folder, spec.weights or "", file)
        if spec.architecture.python:
            network = _user_network(spec, file, spec_sha256, source, trust)
        else:
            network = build_by_name(
                spec.architecture.name or "",
                len(spec.labels),
                spec.architecture.arguments,
                file,
                spec.input,
            )
        state = read_state_dict(source, spec.weights_key)
        found = sha256_of(source)
        _require_same_weights(spec, found, source)
        load_into(network, state, source)
    try:
        classifier = Classifier(spec, network, folder=folder, weights_sha256=found, device=device)
    except (RuntimeError, AssertionError) as exc:  # torch's ways to refuse a device
        raise ModelFileError(
            file,
            f"it cannot be put on the device {device!r}: {str(exc).splitlines()[0]}",
            f"This machine has: {', '.join(devices())}",
        ) from exc
    _check(classifier, file)
    return classifier


def is_model_folder(path: Path) -> bool:
    """True if a folder is that of a model, or a MONAI bundle that one can be made of."""
    return (path / SPEC_FILE).is_file() or is_bundle(path)


def _find_spec(given: Path) -> Path:
    """Find the model.yaml that a user's path means; unpacks a zip."""
    if given.is_dir() and not (given / SPEC_FILE).is_file() and is_bundle(given):
        raise _bundle_says_too_little(given)
    if given.is_dir():
        return given / SPEC_FILE
    if given.suffix.lower() == ".zip":
        folder = unpack(given, (SPEC_FILE, BUNDLE_METADATA))
        if not (folder / SPEC_FILE).is_file():
            raise _bundle_says_too_little(given)
        return folder / SPEC_FILE
    if given.suffix.lower() in _NO_MODELS and given.is_file():
        raise ModelFileError(
            given,
            "it holds weights or a program, and nothing of labels, window and spacing",
            "Make a model folder from it with 'New model folder...' or napari-hirescam convert",
        )
    return given


def _bundle_says_too_little(path: Path) -> ModelFileError:
    facts = read_bundle(path)  # its own faults come first
    return ModelFileError(
        path,
        f"this MONAI bundle holds a {facts.architecture}, but no bundle says which HU window and "
        "spacing its CTs had, or which layer to explain",
        f"Make a model folder from it with 'New model folder...', or put a {SPEC_FILE} beside "
        "its folders",
    )


def _require_same_weights(spec: ModelSpec, found: str, file: Path) -> None:
    if spec.weights_sha256 and found != spec.weights_sha256:
        raise ModelFileError(
            file,
            "its SHA-256 is not the one in model.yaml, so these are other weights",
            "Restore the file, or update weights_sha256 if the change was meant",
        )


def _nothing() -> nn.Module:
    from torch import nn

    return nn.Identity()


def _read_spec(file: Path) -> tuple[ModelSpec, str]:
    """Read a model.yaml, once, with the SHA-256 of the very bytes that were read."""
    from pydantic import ValidationError

    try:
        source = file.read_bytes()
        content = read_plain_yaml(source)
    except FileNotFoundError as exc:
        raise ModelFileError(
            file, "there is no such model file", "Choose a folder that holds a model.yaml"
        ) from exc
    except OSError as exc:
        raise ModelFileError(file, f"it cannot be read: {exc}", "Choose a model.yaml") from exc
    except ValueError as exc:
        raise ModelFileError(file, str(exc), "Mend that line") from exc
    if isinstance(content, dict) and isinstance(content.get("labels"), str):
        content["labels"] = _shipped_labels(content["labels"], file)
    try:
        return ModelSpec.model_validate(content), hashlib.sha256(source).hexdigest()
    except ValidationError as exc:
        faults = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'model.yaml'}: {e['msg']}" for e in exc.errors()
        )
        raise ModelFileError(file, faults, "Mend these fields") from exc


def _shipped_labels(name: str, file: Path) -> tuple[str, ...]:
    try:
        return read_label_list(name)
    except KeyError as exc:
        raise ModelFileError(
            file,
            f"labels: no list {name!r} is shipped",
            f"List the labels one by one, or name one of: {', '.join(label_list_names())}",
        ) from exc


def save_model(
    folder: str | os.PathLike[str], spec: ModelSpec, state: Mapping[str, Tensor]
) -> Path:
    """Write a model folder: safetensors first, model.yaml with their digest last.

    Each file is written beside its place and renamed, so that neither is ever half there.
    `spec.weights` must end in .safetensors; its weights_sha256 is filled in.
    """
    import yaml
    from safetensors.torch import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if spec.weights is None or not spec.weights.endswith(".safetensors"):
        raise ValueError("weights are saved as .safetensors")
    weights = folder / spec.weights
    replace_file(weights, save({name: value.contiguous() for name, value in state.items()}))
    complete = spec.model_copy(update={"weights_sha256": sha256_of(weights)})
    text = yaml.safe_dump(
        complete.model_dump(mode="json", exclude_defaults=True) | {"format": spec.format},
        sort_keys=False,
        allow_unicode=True,
        width=96,
    )
    replace_file(folder / SPEC_FILE, text.encode())
    return folder


def _inside(folder: Path, name: str, spec_file: Path) -> Path:
    # Of the name alone: a link inside the folder may lead elsewhere, as in a model cache.
    target = Path(os.path.normpath(folder / name))
    if not target.is_relative_to(folder):
        raise ModelFileError(
            spec_file, f"it points outside its folder ({name})", "Keep a model's files together"
        )
    return target


def _user_network(
    spec: ModelSpec, file: Path, spec_sha256: str, weights: Path, trust: AskTrust | None
) -> nn.Module:
    architecture, folder = spec.architecture, file.parent.resolve()
    python = _inside(folder, architecture.python or "", file)
    for needed in (python, weights):
        if not needed.is_file():
            raise ModelFileError(needed, "the file is missing", f"Put it beside {SPEC_FILE}")
    try:
        others = {file.name: spec_sha256, weights.name: sha256_of(weights)}
        code = read_user_code(folder, python, others)
    except OSError as exc:
        raise ModelFileError(folder, f"it cannot be read: {exc}", "Check its permissions") from exc
    # What it is given matters as much as what it does: "from subprocess import run" looks harmless.
    given = ", ".join(f"{name}={value!r}" for name, value in architecture.arguments.items())
    call = readable(f"{architecture.callable}({given})").replace("\n", "\\n")
    shown = f"# {SPEC_FILE} has it make the network by:\n#   {call}\n\n{code.request.code}"
    require_trust(replace(code.request, code=shown), trust)
    return build_from_python(code, architecture.callable or "", architecture.arguments)


def _check(classifier: Classifier, file: Path) -> None:
    """Prove by a dry run that layer, labels and input fit the network."""
    spec = classifier.spec
    try:
        run = classifier.dry_run
    except UnknownLayerError as exc:
        raise ModelFileError(file, f"target_layer: {exc}", "Name one of its layers") from exc
    except Exception as exc:  # a forward can fail in any way
        raise ModelFileError(
            file,
            f"the network failed on an input of shape {list(classifier.input_shape)}: "
            f"{' '.join(str(exc).split())}",
            "Check 'input', 'target_layer' and 'architecture'",
        ) from exc
    if run.logits_shape != (1, len(spec.labels)):
        raise ModelFileError(
            file,
            f"the network's output has shape {list(run.logits_shape)}, and there are "
            f"{len(spec.labels)} labels",
            "List one label per output",
        )
    if len(run.activation_shape) < _LEAST_ACTIVATION_AXES:
        raise ModelFileError(
            file,
            f"the output of target_layer {spec.target_layer!r} has shape "
            f"{list(run.activation_shape)}, without spatial axes",
            "Choose a layer ahead of the flattening",
        )
