"""Weights from files, without ever running what a file may hide."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import ModelFileError

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Where training code commonly keeps the state dict inside a checkpoint; the author's is `params`.
_STATE_KEYS = ("params", "state_dict", "model_state_dict", "model_state", "model")
#: What torch's data-parallel wrapper puts before each name.
_PARALLEL_PREFIX = "module."
_SHOWN = 6


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
        Entry of the checkpoint that holds the state dict; None looks under the usual names.

    Raises
    ------
    ModelFileError
        Missing, damaged, a pickle with code in it, or no state dict inside.
    """
    if not file.is_file():
        raise ModelFileError(file, "the weights file is missing", "Put it beside model.yaml")
    content = _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch(file)
    if key is not None:
        if key not in content:
            raise ModelFileError(
                file,
                f"the checkpoint has no entry {key!r}",
                f"Set weights_key to one of: {', '.join(map(str, content))}",
            )
        content = content[key]
    elif not _is_state_dict(content):
        content = next(
            (content[name] for name in _STATE_KEYS if _is_state_dict(content.get(name))), content
        )
    if not _is_state_dict(content):
        raise ModelFileError(
            file, "it holds no state dict", "Save model.state_dict(), or set weights_key"
        )
    if all(name.startswith(_PARALLEL_PREFIX) for name in content):
        content = {name.removeprefix(_PARALLEL_PREFIX): value for name, value in content.items()}
    return dict(content)


def load_into(network: nn.Module, state: Mapping[str, Tensor], file: Path) -> None:
    """Copy a state dict into a network, strictly.

    Raises
    ------
    ModelFileError
        Names the missing, unexpected and mis-shaped entries, grouped.
    """
    own = network.state_dict()
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
        and (state[k].layout != own[k].layout or state[k].is_complex() != own[k].is_complex())
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
