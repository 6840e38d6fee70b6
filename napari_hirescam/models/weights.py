"""Weights from files, without ever running what a file may hide."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import ModelFileError

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Where training code commonly keeps the state dict inside a checkpoint; the author's is `params`.
_STATE_KEYS = ("params", "state_dict", "model_state_dict", "model_state", "model")
#: What torch's wrappers (data parallel, compile) put before each name.
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")
_SHOWN = 6
_LONGEST_LIST = 300


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_state_dict(file: Path, key: str | None = None) -> dict[str, Tensor]:
    """Read a state dict from .safetensors or, weights-only, from a torch checkpoint.

    Parameters
    ----------
    file
        The weights.
    key
        Entry of the checkpoint that holds the state dict, with dots for entries of entries; None
        looks under the usual names.

    Raises
    ------
    ModelFileError
        Missing, damaged, a pickle with code in it, or no state dict inside.
    """
    try:
        missing = not file.is_file()
    except OSError as exc:  # a name that no file system takes
        raise ModelFileError(
            file, f"it cannot be read: {exc.strerror}", "Check the name of the weights"
        ) from exc
    if missing:
        raise ModelFileError(file, "the weights file is missing", "Put it beside model.yaml")
    content = _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch(file)
    if key is not None:
        content = _entry(content, key, file)
    elif not _is_state_dict(content):
        content = next(
            (content[name] for name in _STATE_KEYS if _is_state_dict(content.get(name))), content
        )
    if not _is_state_dict(content):
        names = ", ".join(map(str, content)) if isinstance(content, Mapping) else ""
        raise ModelFileError(
            file,
            f"it holds no state dict{f'; its entries are {_cut(names)}' if names else ''}",
            "Save model.state_dict(), or set weights_key",
        )
    for prefix in _WRAPPER_PREFIXES:
        if all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): value for name, value in content.items()}
    return dict(content)


def load_into(network: nn.Module, state: Mapping[str, Tensor], file: Path) -> None:
    """Copy a state dict into a network, strictly.

    A prefix before every name, as training wrappers leave ('model.', 'net.'), is taken off if
    the names then are the network's own.

    Raises
    ------
    ModelFileError
        Names the missing, unexpected and mis-shaped entries, grouped.
    """
    from torch.nn.parameter import is_lazy

    own = network.state_dict()
    unfinished = [name for name, value in own.items() if is_lazy(value)]
    if unfinished:
        raise ModelFileError(
            file,
            f"the network finds the sizes of {_cut(', '.join(unfinished))} only when it runs",
            "Give its lazy layers their sizes (Conv3d in place of LazyConv3d, say)",
        )
    state = _without_wrapper(state, own)
    problems = []
    # Batch norm's step counter is absent from old checkpoints and does not act in eval mode.
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in own]
    misshaped = [
        f"{k} (file {list(state[k].shape)}, network {list(own[k].shape)})"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    kinds = [
        f"{k} ({state[k].layout} {state[k].dtype})"
        for k in own
        if k in state
        and (
            state[k].layout != own[k].layout
            or state[k].is_complex() != own[k].is_complex()
            # Numbers of a quantised network mean nothing without their scales.
            or (own[k].is_floating_point() and not state[k].is_floating_point())
        )
    ]
    for what, names in (
        ("missing", missing),
        ("unexpected", unexpected),
        ("shape", misshaped),
        ("kind of numbers", kinds),
    ):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            problems.append(f"{what}: {', '.join(names[:_SHOWN])}{more}")
    if problems:
        raise ModelFileError(
            file,
            f"the weights do not fit the architecture ({'; '.join(problems)})",
            "Check 'architecture' and the number of labels in model.yaml",
        )
    network.load_state_dict(dict(state), strict=False)


def saved_program_kind(names: Iterable[str]) -> str | None:
    """Tell from the names in a zip whether it is a saved program: '.pt2', 'TorchScript' or None."""
    found = set(names)
    parts = {name.partition("/")[2] for name in found}
    if any(p.startswith("models/") for p in parts) or "serialized_exported_program.json" in found:
        return ".pt2"
    return "TorchScript" if any(p.startswith("code/") for p in parts) else None


def _without_wrapper(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    prefix = f"{next(iter(state), '').partition('.')[0]}."
    if not all(name.startswith(prefix) for name in state):
        return state
    bare = {name.removeprefix(prefix): value for name, value in state.items()}
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    return bare if needed <= set(bare) <= set(own) else state


def _entry(content: Mapping[str, Any], key: str, file: Path) -> Any:
    if key in content:
        return content[key]
    first, _, rest = key.partition(".")
    inner = content.get(first)
    if rest and isinstance(inner, Mapping):
        return _entry(inner, rest, file)
    raise ModelFileError(
        file,
        f"the checkpoint has no entry {key!r}",
        f"Set weights_key to one of: {_cut(', '.join(map(str, content)))}",
    )


def _cut(names: str) -> str:
    return names if len(names) <= _LONGEST_LIST else f"{names[:_LONGEST_LIST]}..."


def _is_state_dict(content: Any) -> bool:
    import torch

    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(
            isinstance(name, str) and isinstance(value, torch.Tensor)
            for name, value in content.items()
        )
    )


def _read_safetensors(file: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError) as exc:
        raise ModelFileError(
            file, f"it cannot be read as safetensors: {exc}", "Copy or convert the weights again"
        ) from exc


def _read_torch(file: Path) -> dict[str, Any]:
    import pickle

    import torch

    try:
        with zipfile.ZipFile(file) as archive:
            program = saved_program_kind(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        program = None  # an older kind of checkpoint, or damaged: torch will say
    if program is not None:
        raise ModelFileError(
            file,
            f"it is a program ({program}), not weights",
            "Name it under architecture.program and leave 'weights' out",
        )
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        blocked = re.search(r"GLOBAL (\S+)", str(exc))
        what = f" ({blocked.group(1)})" if blocked else ""
        raise ModelFileError(
            file,
            f"it holds more than weights{what}, and opening it could run code",
            "Save only model.state_dict(), best as .safetensors",
        ) from exc
    except Exception as exc:  # damaged bytes make torch fail in any way
        first_line = f"{type(exc).__name__}: {exc}".splitlines()[0]
        raise ModelFileError(
            file, f"it cannot be read as a torch checkpoint: {first_line}", "Copy the file again"
        ) from exc
    if not isinstance(content, dict):
        raise ModelFileError(
            file, f"it holds a {type(content).__name__}, not a dict", "Save model.state_dict()"
        )
    return content
