"""From a CT in HU to the tensor a network eats; every step carries the affine along.

Each step takes and returns voxels with the 4x4 affine of their grid, so that at the end a cell
of the network's feature map can be mapped back to patient mm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import Cancelled, InputError
from napari_hirescam.models.spec import InputSpec
from napari_hirescam.volume import (
    FloatArray,
    Grid,
    Quantity,
    Volume,
    resample,
    scaling,
    translation,
)

if TYPE_CHECKING:
    from torch import Tensor

Placed = tuple[npt.NDArray[Any], FloatArray]

_IPL = "IPL"
_OPPOSITE = {"S": "I", "A": "P", "R": "L"}
#: Axial slices that make one image of an `axial_triples` network.
_TRIPLE = 3
#: A CT that fills less than this share of the network's input along an axis is refused.
_LEAST_COVERAGE = 0.1


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What the network is given, and where it lies.

    Parameters
    ----------
    tensor
        float32; [1, C, d, h, w] or, for axial triples, [1, S, 3, h, w].
    affine
        4x4; index along the tensor's three spatial axes (images or slices, rows, columns) to
        (I, P, L) mm. It may be flipped or permuted: the network's orientation is its own.
    voxel_grid
        The grid of the voxels before slices were grouped.
    grouped
        True if consecutive slices became the channels of one image (axial triples).
    notes
        What the user should know of: padding, repeated borders.
    """

    tensor: Tensor
    affine: FloatArray
    voxel_grid: Grid
    grouped: bool
    notes: tuple[str, ...] = ()

    @property
    def spatial_shape(self) -> tuple[int, int, int]:
        """Length of the tensor's three spatial axes."""
        images_or_channels, slices_or_channels, rows, columns = self.tensor.shape[1:]
        first = images_or_channels if self.grouped else slices_or_channels
        return int(first), int(rows), int(columns)


def prepare(
    volume: Volume,
    spec: InputSpec,
    at_mm: tuple[float, float, float] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> ModelInput:
    """Run the steps of `spec` over a CT.

    Parameters
    ----------
    volume
        A CT in HU.
    spec
        The model's input section.
    at_mm
        (I, P, L) mm of the window's centre; needed where `spec.fit` is 'window'.
    should_stop
        Asked every few slices.

    Raises
    ------
    InputError
        The volume is not in HU, is far too small, or the window misses it; a point is given to
        a model that sees the whole CT.
    Cancelled
        `should_stop` said so.
    """
    import torch

    def give_up_if_asked() -> None:
        if should_stop is not None and should_stop():
            raise Cancelled("the computation was cancelled")

    if volume.quantity is not Quantity.HU:
        what = "is a label map" if volume.quantity is Quantity.LABELS else "is not known to be HU"
        raise InputError(
            volume.name,
            f"its content {what}, and the model was trained on CT values",
            "Choose a CT in Hounsfield units (--assume-hu on the command line takes it for one)",
        )
    voxels, affine = reorient(volume.voxels, volume.affine, spec.orientation)
    if spec.spacing_mm is not None:
        voxels, affine = resample_to_spacing(voxels, affine, spec.spacing_mm, give_up_if_asked)
    fill = _fill_value(voxels, spec)
    if spec.fit == "window":
        if at_mm is None:
            raise InputError(
                volume.name,
                f"the model sees a window of {' x '.join(map(str, spec.shape))} voxels, and "
                "nobody said where",
                "Give the point to look at (a Points layer, the crosshair, or --at L,P,S)",
            )
        starts = _window_starts(voxels.shape, affine, spec, at_mm, volume.name)
    elif at_mm is not None:
        raise InputError(
            volume.name, "the model sees the whole CT, not a window", "Leave the point out"
        )
    else:
        starts = _centred_starts(voxels.shape, spec, volume.name)
    shape = tuple(n if n is not None else _rounded_up(voxels.shape[0], spec) for n in spec.shape)
    notes = _padding_notes(voxels.shape, starts, shape, spec)
    voxels, affine = cut(voxels, affine, starts, shape, fill)
    give_up_if_asked()
    intensities = window(voxels, spec)
    grid = Grid(intensities.shape, affine)
    tensor = torch.from_numpy(intensities)
    if spec.layout == "axial_triples":
        images = intensities.shape[0] // _TRIPLE
        tensor = tensor.reshape(1, images, _TRIPLE, *intensities.shape[1:])
        # Image k holds slices 3k, 3k + 1, 3k + 2; its middle is slice 3k + 1.
        affine = affine @ translation((1.0, 0.0, 0.0)) @ scaling((_TRIPLE, 1.0, 1.0))
    else:
        tensor = tensor[None, None].expand(1, spec.channels, *intensities.shape)
    return ModelInput(tensor, affine, grid, spec.layout == "axial_triples", notes)


def reorient(voxels: npt.NDArray[Any], affine: FloatArray, orientation: str) -> Placed:
    """Turn (I, P, L) voxels so that their axes grow towards the letters of `orientation`."""
    forward = [_OPPOSITE.get(letter, letter) for letter in orientation]
    order = [_IPL.index(letter) for letter in forward]
    turned = voxels.transpose(order)
    to_old = np.zeros((4, 4))
    to_old[3, 3] = 1.0
    for new_axis, (old_axis, letter) in enumerate(zip(order, orientation, strict=True)):
        if letter in _OPPOSITE:
            turned = np.flip(turned, new_axis)
            to_old[old_axis, new_axis] = -1.0
            to_old[old_axis, 3] = voxels.shape[old_axis] - 1
        else:
            to_old[old_axis, new_axis] = 1.0
    return turned, affine @ to_old


def resample_to_spacing(
    voxels: npt.NDArray[Any],
    affine: FloatArray,
    spacing_mm: tuple[float, float, float],
    give_up_if_asked: Callable[[], None] = lambda: None,
) -> Placed:
    """Resample linearly to a spacing, keeping the first voxel's centre in place.

    The output has round(n * spacing / new spacing) voxels per axis, as in the reference
    preprocessing. Where more than two voxels fall on one, linear interpolation would skip some
    of them, so a Gaussian of sigma (factor - 1) / 2 comes first.
    """
    from scipy import ndimage

    here = Grid(voxels.shape, affine)
    factors = np.asarray(spacing_mm) / np.asarray(here.spacing_mm)
    if np.allclose(factors, 1.0, rtol=1e-4):
        return voxels, affine
    smooth: npt.NDArray[Any] = voxels.astype(np.float32)
    for axis, factor in enumerate(factors):
        if factor > 2.0:
            give_up_if_asked()
            smooth = ndimage.gaussian_filter1d(smooth, (factor - 1.0) / 2.0, axis, mode="nearest")
    n0, n1, n2 = (
        max(1, int(np.floor(n / factor + 0.5)))
        for n, factor in zip(voxels.shape, factors, strict=True)
    )
    target = Grid((n0, n1, n2), affine @ scaling(factors))
    # The last voxel may be centred beyond the last one there was: it repeats it.
    sampled = resample(smooth, affine, target, outside=None, before_slab=give_up_if_asked)
    return sampled, target.affine


def cut(
    voxels: npt.NDArray[Any],
    affine: FloatArray,
    starts: tuple[int, ...],
    shape: tuple[int, ...],
    fill: float | None,
) -> Placed:
    """Take the box that starts at index `starts`, which may reach beyond the volume.

    Parameters
    ----------
    starts
        First index of the box per axis; negative where the box begins before the volume.
    shape
        Length of the box per axis.
    fill
        HU outside the volume; None repeats its border.
    """
    inside = tuple(
        slice(min(max(start, 0), n), max(min(start + length, n), 0))
        for start, length, n in zip(starts, shape, voxels.shape, strict=True)
    )
    margins = [
        (part.start - start, start + length - part.stop)
        for part, start, length in zip(inside, starts, shape, strict=True)
    ]
    part = voxels[inside]
    if any(before or after for before, after in margins):
        if fill is None:
            part = np.pad(part, margins, mode="edge")
        else:
            part = np.pad(part, margins, mode="constant", constant_values=fill)
    return part, affine @ translation(starts)


def window(voxels: npt.NDArray[Any], spec: InputSpec) -> npt.NDArray[np.float32]:
    """Clip HU to the window, map it to `scale_to`, subtract; float32 and contiguous."""
    low, high = spec.window_hu
    values = voxels.astype(np.float32)
    np.clip(values, low, high, out=values)
    if spec.scale_to is not None:
        bottom, top = spec.scale_to
        values -= low
        values *= (top - bottom) / (high - low)
        if bottom:
            values += bottom
    if spec.subtract:
        values -= spec.subtract
    return np.ascontiguousarray(values)


def _fill_value(voxels: npt.NDArray[Any], spec: InputSpec) -> float | None:
    if spec.padding == "edge":
        return None
    if spec.padding == "minimum":
        return float(voxels.min())
    return float(spec.padding)


def _rounded_up(n_slices: int, spec: InputSpec) -> int:
    if spec.layout == "axial_triples":
        return -(-n_slices // _TRIPLE) * _TRIPLE
    return n_slices


def _centred_starts(shape: tuple[int, ...], spec: InputSpec, name: str) -> tuple[int, ...]:
    """Offsets of the reference's symmetric padding and centre crop (paper code, 7.2).

    Both put the odd voxel at the far end: padding before is int((N - n) / 2), the crop starts
    at int((n - N) / 2).
    """
    starts = []
    for n, wanted in zip(shape, spec.shape, strict=True):
        if wanted is not None and n < _LEAST_COVERAGE * wanted:
            raise InputError(
                name,
                f"on the model's grid it has {' x '.join(map(str, shape))} voxels, and the model "
                f"expects {' x '.join(str(m or 'any') for m in spec.shape)}",
                "Use a CT that covers the region the model was trained on",
            )
        if wanted is None:
            starts.append(0)
        else:
            starts.append((n - wanted) // 2 if n >= wanted else -((wanted - n) // 2))
    return tuple(starts)


def _window_starts(
    shape: tuple[int, ...],
    affine: FloatArray,
    spec: InputSpec,
    at_mm: tuple[float, float, float],
    name: str,
) -> tuple[int, ...]:
    index = Grid((shape[0], shape[1], shape[2]), affine).to_index(at_mm)
    if not ((index >= -0.5) & (index <= np.asarray(shape) - 0.5)).all():
        inferior, posterior, left = at_mm
        raise InputError(
            name,
            f"the point L {left:.1f}, P {posterior:.1f}, S {-inferior:.1f} mm lies outside the CT",
            "Choose a point inside it",
        )
    starts = []
    for centre, length, n in zip(index, spec.shape, shape, strict=True):
        start = round(float(centre) - (length or 1) / 2)
        # Rounding may put a window of one or two voxels just beside the CT.
        starts.append(min(max(start, 1 - (length or 1)), n - 1))
    return tuple(starts)


def _padding_notes(
    shape: tuple[int, ...], starts: tuple[int, ...], target: tuple[int, ...], spec: InputSpec
) -> tuple[str, ...]:
    covered = [
        (min(start + length, n) - max(start, 0)) / length
        for start, length, n in zip(starts, target, shape, strict=True)
    ]
    if min(covered) >= 0.5:
        return ()
    how = {"edge": "its border repeated", "minimum": "its lowest value"}.get(
        str(spec.padding), f"{spec.padding} HU"
    )
    share = " x ".join(f"{100 * part:.0f}%" for part in covered)
    return (f"The CT fills only {share} of the model's input; the rest is {how}.",)
