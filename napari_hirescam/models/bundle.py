"""MONAI bundles, read without MONAI's own parser, which runs what a bundle says.

In a bundle's configuration ``$`` starts a Python expression, ``_target_`` names anything that
can be imported, ``@`` and ``%`` refer to other parts. Here only the definition of the network
is looked at, only plain values count in it, and its target must be one of MONAI's classifiers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models.archive import unpack
from napari_hirescam.models.monai_networks import PREFIX, monai_classifiers

METADATA = "configs/metadata.json"
_CONFIGS = ("configs/inference.json", "configs/evaluate.json", "configs/train.json")
_WEIGHTS = ("models/model.safetensors", "models/model.pt", "models/model.pth")
_NETWORK = ("network_def", "network", "net")
_TARGET = "_target_"
_NETS = "monai.networks.nets"
#: First letters that make MONAI evaluate a string, or look elsewhere.
_ACTIVE = ("$", "@", "%")
_MAX_BYTES = 4_000_000
_SPATIAL_AXES = (2, 3)


@dataclass(frozen=True)
class BundleFacts:
    """What a MONAI bundle says of its classifier, as far as it can be read safely.

    Parameters
    ----------
    folder
        The bundle, unpacked where it was a zip.
    name, description
        From its metadata, or "".
    architecture
        As in model.yaml, 'monai.DenseNet121' say.
    arguments
        Plain values for its constructor.
    weights
        The weights file.
    labels
        In the order of the outputs; empty where the metadata does not say.
    channels
        Input channels, or None.
    spatial_shape
        Voxels of the input along the tensor's axes, or None where they are not plain numbers.
    value_range
        Lowest and highest value of the input after the bundle's own transforms, or None.
    notes
        What was left out, in words.
    """

    folder: Path
    name: str
    description: str
    architecture: str
    arguments: dict[str, Any]
    weights: Path
    labels: tuple[str, ...]
    channels: int | None
    spatial_shape: tuple[int, ...] | None
    value_range: tuple[float, float] | None
    notes: tuple[str, ...]


def is_bundle(folder: Path) -> bool:
    """True if a folder is laid out as a MONAI bundle."""
    return (folder / METADATA).is_file()


def read_bundle(path: Path) -> BundleFacts:
    """Read a MONAI bundle, a folder or its zip; nothing of it is run.

    Raises
    ------
    ModelFileError
        Not a bundle, damaged, without weights, or with a network that is not one of MONAI's
        classifiers given in plain values.
    """
    folder = unpack(path, (METADATA,)) if path.is_file() else path
    if not is_bundle(folder):
        raise ModelFileError(
            path, f"it is no MONAI bundle: {METADATA} is missing", "Choose a bundle's folder or zip"
        )
    metadata = _read_json(folder / METADATA)
    config_file, definition = _network_definition(folder)
    architecture, arguments, notes = _plain_network(definition, config_file)
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise ModelFileError(
            folder, "the bundle has no weights", f"Put them into {' or '.join(_WEIGHTS)}"
        )
    data_format = _mapping(metadata, "network_data_format")
    image = _mapping(data_format, "inputs", "image")
    return BundleFacts(
        folder=folder,
        name=_text(metadata.get("name")),
        description=_text(metadata.get("description")),
        architecture=architecture,
        arguments=arguments,
        weights=weights,
        labels=_labels(_mapping(data_format, "outputs", "pred")),
        channels=_count(image.get("num_channels")),
        spatial_shape=_shape(image.get("spatial_shape")),
        value_range=_range(image.get("value_range")),
        notes=notes,
    )


def _read_json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ModelFileError(file, "it is far too long to be a configuration", "Check the file")
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise ModelFileError(
            file, f"it cannot be read as JSON: {exc}", "Copy the bundle again"
        ) from exc
    if not isinstance(content, dict):
        raise ModelFileError(file, "it is not a JSON object", "Copy the bundle again")
    return content


def _network_definition(folder: Path) -> tuple[Path, Any]:
    looked = [folder / name for name in _CONFIGS if (folder / name).is_file()]
    for file in looked:
        content = _read_json(file)
        for key in _NETWORK:
            value = content.get(key)
            # `network` often only moves `network_def` to a device: "$@network_def.to(...)".
            if isinstance(value, dict) or (value is not None and key == _NETWORK[0]):
                return file, value
    raise ModelFileError(
        folder / "configs",
        f"no {_NETWORK[0]!r} was found in {', '.join(f.name for f in looked) or _CONFIGS[0]}",
        "Make a model folder from the weights with 'New model folder...'",
    )


def _plain_network(definition: Any, file: Path) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    active = _first_active(definition, _NETWORK[0])
    if active is not None:
        where, value = active
        raise ModelFileError(
            file,
            f"{where} is {value!r}, which MONAI would evaluate; nothing in a bundle is run here",
            "Write the plain value there, or make a model folder with 'New model folder...'",
        )
    target = definition.get(_TARGET) if isinstance(definition, dict) else None
    name = _classifier_name(target)
    if name is None:
        raise ModelFileError(
            file,
            f"the network's {_TARGET} is {target!r}, which is not a classifier of {_NETS}",
            "Only those can be built without running the bundle's code",
        )
    arguments = {key: value for key, value in definition.items() if key != _TARGET}
    special = [key for key in arguments if key.startswith("_")]
    if special:
        raise ModelFileError(
            file, f"the network has {', '.join(special)}", "Only plain arguments can be read"
        )
    notes: tuple[str, ...] = ()
    if arguments.pop("pretrained", False):
        notes = ("'pretrained' was left out: the bundle's own weights are loaded, none fetched",)
    arguments.pop("progress", None)  # of the fetching
    return f"{PREFIX}{name}", arguments, notes


def _classifier_name(target: Any) -> str | None:
    """Give MONAI's name for `Net`, `monai.networks.nets.Net` or `...nets.family.Net`."""
    if not isinstance(target, str):
        return None
    module, _, name = target.rpartition(".")
    builder = monai_classifiers().get(name)
    if builder is None or module not in ("", _NETS, builder.__module__):
        return None
    return name


def _first_active(part: Any, where: str) -> tuple[str, str] | None:
    """Find a string that MONAI would evaluate or look up, keys included."""
    if isinstance(part, str):
        return (where, part) if part.lstrip().startswith(_ACTIVE) else None
    inner: list[tuple[str, Any]] = []
    if isinstance(part, Mapping):
        for key, value in part.items():
            inner += [(f"a key of {where}", key), (f"{where}.{key}", value)]
    elif isinstance(part, list):
        inner = [(f"{where}[{k}]", value) for k, value in enumerate(part)]
    return next((hit for w, v in inner if (hit := _first_active(v, w)) is not None), None)


def _mapping(content: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        inner = content.get(key)
        if not isinstance(inner, Mapping):
            return {}
        content = inner
    return content


def _labels(prediction: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the labels if there is one name for each output from 0 on."""
    names = prediction.get("channel_def")
    if not isinstance(names, Mapping):
        return ()
    by_number = {int(k): v for k, v in names.items() if str(k).isdecimal() and isinstance(v, str)}
    complete = sorted(by_number) == list(range(len(names)))
    return tuple(by_number[k] for k in sorted(by_number)) if complete else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _shape(value: Any) -> tuple[int, ...] | None:
    sizes = [_count(n) for n in value] if isinstance(value, list) else []
    known = tuple(n for n in sizes if n is not None)
    return known if len(known) == len(sizes) and len(sizes) in _SPATIAL_AXES else None


def _range(value: Any) -> tuple[float, float] | None:
    if isinstance(value, list) and all(type(v) in (int, float) for v in value):
        low, high = (float(value[0]), float(value[-1])) if value else (0.0, 0.0)
        return (low, high) if low < high else None
    return None
