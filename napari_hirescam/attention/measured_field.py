"""Where cells lie, measured: for networks whose geometry arithmetic cannot follow.

The gradient of one cell with respect to a noise input says which voxels the cell feels, and how
much. Its centre of mass is the cell's place; three cells per axis give the pitch.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.attention.placement import PlacementUnknownError, Reach, ReceptiveField
from napari_hirescam.attention.raw import features_first
from napari_hirescam.models.borrow import borrowed
from napari_hirescam.models.dry_run import find_layer, one_tensor, split_call
from napari_hirescam.models.traced_pass import floating_type
from napari_hirescam.volume import FloatArray

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Larger inputs are not measured: recording their gradients would take the memory of training.
_LARGEST_INPUT = 2**22
#: Voxels that a cell feels less than this share of the strongest do not count.
_LEAST_SHARE = 0.05
#: How far, in pitches, a measured cell may lie from the line through all of them.
_LARGEST_BEND = 0.25


class _ReachedError(Exception):
    """The target layer has run; nothing after it is needed."""


def measured_field(
    network: nn.Module,
    input_shape: tuple[int, ...],
    target_layer: str,
    *,
    grouped: bool = False,
    seed: int = 0,
) -> ReceptiveField:
    """Measure what the cells of a layer see.

    Parameters
    ----------
    network
        Left as it is.
    input_shape
        [1, C, d, h, w]; [1, S, 3, h, w] if `grouped`; [S, C, h, w].
    target_layer
        Dotted name.
    grouped
        True if the second axis runs over axial images.
    seed
        Of the noise.

    Raises
    ------
    PlacementUnknownError
        The input is too large to be measured, or cells do not lie on a regular grid.
    """
    import torch

    if int(np.prod(input_shape)) > _LARGEST_INPUT:
        raise PlacementUnknownError("the input is too large for the field to be measured")
    generator = torch.Generator().manual_seed(seed)
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    noise = torch.randn(input_shape, generator=generator).to(device, floating_type(network))
    with torch.inference_mode(False), torch.enable_grad(), borrowed(network):
        given = noise.requires_grad_(True)
        # Squared, and with random weights, so that features do not cancel.
        # A copy, since the network may write into what it is given.
        activation = features_first(_activation(network, given.clone(), target_layer))
        weights = torch.rand(len(activation), generator=generator).to(activation)
        strength = torch.einsum("f,fdhw->dhw", weights, activation.square())
        shape = tuple(strength.shape)
        middle = [n // 2 for n in shape]
        fields = {}
        for axis, n in enumerate(shape):
            for k in _cells_to_ask(n):
                cell = (*middle[:axis], k, *middle[axis + 1 :])
                if cell not in fields:
                    (gradient,) = torch.autograd.grad(strength[cell], given, retain_graph=True)
                    fields[cell] = _per_voxel(gradient.detach(), grouped=grouped)
    axes = []
    for axis, n in enumerate(shape):
        asked = _cells_to_ask(n)
        cells = [(*middle[:axis], k, *middle[axis + 1 :]) for k in asked]
        axes.append(_line(asked, [_along(fields[cell], axis) for cell in cells]))
    return ReceptiveField(
        (axes[0], axes[1], axes[2]), "the places of the cells were measured by their gradients"
    )


def _activation(network: nn.Module, given: Tensor, target_layer: str) -> Tensor:
    seen: list[Tensor] = []
    calls = 0
    name, wanted = split_call(target_layer)
    thread = threading.get_ident()

    def keep(module: nn.Module, _args: Any, result: Any) -> None:
        nonlocal calls
        if threading.get_ident() != thread:
            return
        calls += 1
        if wanted is None or calls == wanted:
            seen[:] = [one_tensor(module, result, target_layer).clone()]
            if wanted is not None:
                raise _ReachedError

    with ExitStack() as stack:
        stack.callback(find_layer(network, name).register_forward_hook(keep).remove)
        try:
            network(given)
        except _ReachedError:
            return seen[0]
    if not seen or seen[0].grad_fn is None:
        raise PlacementUnknownError("the network switches gradients off ahead of the layer")
    return seen[0]


def _cells_to_ask(n: int) -> list[int]:
    # Away from the border, where padding cuts what a cell feels.
    # The farther apart, the less the noise in each place bends the pitch.
    middle, apart = n // 2, max(1, n // 6)
    return sorted({max(middle - apart, 0), middle, min(middle + apart, n - 1)})


def _per_voxel(gradient: Tensor, *, grouped: bool) -> FloatArray:
    """Strength of a gradient at each voxel [d, h, w], channels taken together."""
    energy = features_first(gradient, grouped=grouped).double().square().sum(dim=0)
    found: FloatArray = energy.cpu().numpy()
    return found


def _along(energy: FloatArray, axis: int) -> FloatArray:
    others = tuple(a for a in range(3) if a != axis)
    profile: FloatArray = energy.sum(axis=others)
    if not profile.max() > 0:
        raise PlacementUnknownError("the target layer does not depend on the input")
    share: FloatArray = profile / profile.max()
    return share


def _line(cells: list[int], profiles: list[FloatArray]) -> Reach:
    """Fit cell number to voxel by a straight line; the extent is the widest that was felt."""
    centres, extents = [], []
    for profile in profiles:
        felt = np.flatnonzero(profile >= _LEAST_SHARE)
        weights = np.where(profile >= _LEAST_SHARE, profile, 0.0)
        centres.append(float((weights * np.arange(len(profile))).sum() / weights.sum()))
        extents.append(float(felt[-1] - felt[0] + 1))
    if len(cells) == 1:
        pitch, start = float(len(profiles[0])), centres[0]
    else:
        pitch, start = (float(v) for v in np.polyfit(cells, centres, 1))
    bend = np.abs(np.asarray(centres) - (pitch * np.asarray(cells) + start)).max()
    if not pitch > 0 or bend > _LARGEST_BEND * pitch:
        raise PlacementUnknownError("its cells do not lie on a regular grid")
    half = (max(extents) - 1) / 2
    return Reach(pitch, start - half, start + half)
