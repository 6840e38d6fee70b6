"""What a weights file says of the network it belongs to: names, shapes, and what follows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models.weights import _STATE_KEYS, read_state_dict, sha256_of

if TYPE_CHECKING:
    from torch import Tensor

    from napari_hirescam.models.bundle import BundleFacts

#: What training frameworks put before every name: Lightning, torch.compile, data parallel, ...
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.")
#: Entries that belong to the loss, not to the network.
_OF_THE_LOSS = ("criterion.", "loss.", "loss_fn.", "loss_function.")
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_LINEAR_AXES, _LEAST_CONV_AXES, _MOST_CONV_AXES = 2, 4, 5
#: An image has one channel, three colours or neighbours, seldom more; a feature map has many.
_FEW_CHANNELS = 4

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class WeightsFacts:
    """A state dict, and what its names and shapes tell.

    Parameters
    ----------
    file
        Where it was read.
    state
        The state dict as it is in the file.
    entry, entries
        The entry of the checkpoint that was read, None where the file is the state dict itself,
        and all entries that hold one.
    bundle
        What the MONAI bundle says that the file lies in, if it was read from one.
    """

    file: Path
    state: Mapping[str, Tensor] = field(repr=False)
    entry: str | None = None
    entries: tuple[str, ...] = ()
    bundle: BundleFacts | None = None

    @cached_property
    def shapes(self) -> Shapes:
        """Shape of every tensor."""
        return {name: tuple(value.shape) for name, value in self.state.items()}

    @cached_property
    def sha256(self) -> str:
        """Digest of the file, for provenance."""
        return sha256_of(self.file)

    @cached_property
    def prefix(self) -> str:
        """What stands before every name of the network and can be taken off, or ''."""
        names = [name for name in self.shapes if not name.startswith(_OF_THE_LOSS)]
        prefix = ""
        while names:
            found = next((w for w in _WRAPPERS if all(n.startswith(w) for n in names)), None)
            if found is None:
                break
            prefix += found
            names = [name.removeprefix(found) for name in names]
        return prefix

    @cached_property
    def left_out(self) -> tuple[str, ...]:
        """Tensors of the loss, which the network does not have."""
        return tuple(name for name in self.shapes if name.startswith(_OF_THE_LOSS))

    @cached_property
    def plain_state(self) -> dict[str, Tensor]:
        """The state dict without the wrapper's prefix and without the loss."""
        return {
            name.removeprefix(self.prefix): value
            for name, value in self.state.items()
            if name not in self.left_out
        }

    @cached_property
    def plain_shapes(self) -> Shapes:
        """Shape of every tensor of :attr:`plain_state`."""
        return {name: tuple(value.shape) for name, value in self.plain_state.items()}

    @cached_property
    def parameters(self) -> int:
        """Number of weights, running statistics left out."""
        return sum(
            value.numel() for name, value in self.plain_state.items() if not name.endswith(_BUFFERS)
        )

    @cached_property
    def convolutions(self) -> Shapes:
        """Kernels by name: [out, in, ...]."""
        return {
            name: shape
            for name, shape in self.plain_shapes.items()
            if _LEAST_CONV_AXES <= len(shape) <= _MOST_CONV_AXES and name.endswith("weight")
        }

    @cached_property
    def spatial_rank(self) -> int | None:
        """2 or 3: axes of the convolution that sees the input; None without convolutions."""
        first = self._first_convolution
        return len(first) - 2 if first else None

    @cached_property
    def in_channels(self) -> int | None:
        """Channels the first convolution reads; None without convolutions."""
        first = self._first_convolution
        return first[1] if first else None

    @cached_property
    def output_width(self) -> int | None:
        """Outputs of the last layer, as far as the shapes show it.

        The last layer is the one whose outputs no other layer reads; a file may have lost the
        order of its layers. It is linear where there are linear layers, else a convolution.
        """
        linear = {
            name: shape
            for name, shape in self.plain_shapes.items()
            if len(shape) == _LINEAR_AXES and name.endswith("weight")
        }
        layers = linear or self.convolutions
        read = {shape[1] for shape in layers.values()}
        open_ended = [shape[0] for shape in layers.values() if shape[0] not in read]
        candidates = open_ended or [shape[0] for shape in layers.values()]
        return candidates[-1] if candidates else None

    @cached_property
    def _first_convolution(self) -> tuple[int, ...] | None:
        # safetensors files are in no order of their own: names that count are put in order.
        ordered = self.convolutions
        if self.file.suffix == ".safetensors":
            ordered = {name: ordered[name] for name in sorted(ordered, key=_natural)}
        # A depth-wise convolution reads one channel, but of a feature map: its kernel is small
        # and it is not the first. The stem comes first among those that read few channels.
        narrow = [s for s in ordered.values() if s[1] <= _FEW_CHANNELS]
        stems = [s for n, s in ordered.items() if s[1] <= _FEW_CHANNELS and _is_stem(n)]
        return next(iter(stems or narrow or list(ordered.values())), None)


def inspect_weights(file: Path, entry: str | None = None) -> WeightsFacts:
    """Read a weights file, weights-only, and what it tells of its network.

    Parameters
    ----------
    file
        .safetensors, a torch checkpoint, or a MONAI bundle: its folder or its zip.
    entry
        Entry of the checkpoint that holds the state dict; None takes the usual one.

    Raises
    ------
    ModelFileError
        Missing, damaged, more than weights in it, or no state dict inside.
    """
    if not file.exists():
        raise ModelFileError(file, "there is no such file", "Choose a weights file")
    if file.is_dir() or file.suffix == ".zip":
        from napari_hirescam.models.bundle import read_bundle

        bundle = read_bundle(file)
        return replace(inspect_weights(bundle.weights, entry), bundle=bundle)
    if file.suffix == ".safetensors":
        return WeightsFacts(file, read_state_dict(file))
    if entry is not None:
        return WeightsFacts(file, read_state_dict(file, entry), entry, _entries(file))
    try:
        state = read_state_dict(file)
    except ModelFileError:
        entries = _entries(file)
        if len(entries) != 1:
            raise
        return WeightsFacts(file, read_state_dict(file, entries[0]), entries[0], entries)
    entries = _entries(file)
    # The order in which read_state_dict looks.
    used = next((name for name in _STATE_KEYS if name in entries), None)
    return WeightsFacts(file, state, used, entries)


def _entries(file: Path) -> tuple[str, ...]:
    """Names of the entries of a checkpoint that hold a state dict; reads no numbers."""
    import pickle

    import torch

    try:
        content = torch.load(file, map_location="meta", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, EOFError, OSError):
        return ()  # whatever is wrong with it, read_state_dict says it better
    if not isinstance(content, Mapping):
        return ()
    return tuple(str(name) for name, value in content.items() if _holds_tensors(value))


def _holds_tensors(value: Any) -> bool:
    import torch

    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(n, str) and isinstance(v, torch.Tensor) for n, v in value.items())
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Order names so that 'block2' comes before 'block10'."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _is_stem(name: str) -> bool:
    return re.search(r"stem|(^|\.)conv[01]?\.weight$|^(features|layers?)?\.?0\.", name) is not None
