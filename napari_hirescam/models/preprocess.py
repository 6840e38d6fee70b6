"""From a CT in HU to the tensor a network eats; the place of every voxel is carried along.

Two stages: what is done to the whole CT (:func:`prepare_ct`) and what is done to the part that
the network sees (:meth:`PreparedCT.window`), so that many windows cost one preparation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import Cancelled, InputError
from napari_hirescam.models.placing import (
    BeforeSlab,
    Box,
    Point,
    cut,
    reorient,
    resample_to_spacing,
    resize,
)
from napari_hirescam.models.spec import InputSpec
from napari_hirescam.models.window import (
    TRIPLE,
    model_grid,
    padding_in_words,
    place_window,
    require_coverage,
)
from napari_hirescam.volume import FloatArray, Grid, Quantity, Shape3D, Volume, scaling, translation

if TYPE_CHECKING:
    from torch import Tensor

ShouldStop = Callable[[], bool]
Margins = tuple[tuple[int, int], ...]

#: Slices whose intensities are worked out at a time.
_SLAB = 32


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What the network is given, and where it lies.

    Parameters
    ----------
    tensor
        float32; by layout 'volume' [1, C, d, h, w], 'axial_triples' [1, S, 3, h, w], 'slice'
        [1, C, h, w], 'slices' [S, C, h, w].
    affine
        4x4; index along the tensor's three spatial axes (images or slices, rows, columns) to
        (I, P, L) mm. It may be flipped or permuted: the network's orientation is its own.
    voxel_grid
        The grid of the voxels before slices were grouped.
    layout
        As in :class:`~napari_hirescam.models.spec.InputSpec`.
    margins
        How many voxels of `voxel_grid`, before and behind along each axis, lie outside the CT
        and were made up by padding.
    notes
        What the user should know of: padding, repeated borders.
    """

    tensor: Tensor
    affine: FloatArray
    voxel_grid: Grid
    layout: str = "volume"
    margins: Margins = ((0, 0), (0, 0), (0, 0))
    notes: tuple[str, ...] = ()

    @property
    def spatial_shape(self) -> Shape3D:
        """Length of the tensor's three spatial axes."""
        images, rows, columns = self.voxel_grid.shape
        return (images // TRIPLE if self.layout == "axial_triples" else images), rows, columns

    @property
    def padded(self) -> npt.NDArray[np.bool_] | None:
        """Which voxels of `voxel_grid` lie outside the CT; None if none does."""
        if not any(before or after for before, after in self.margins):
            return None
        outside = np.ones(self.voxel_grid.shape, dtype=bool)
        outside[
            tuple(
                slice(before, length - after)
                for (before, after), length in zip(self.margins, outside.shape, strict=True)
            )
        ] = False
        return outside


@dataclass(frozen=True, eq=False)
class WindowHU:
    """The part of a CT that a network sees, on the network's axes, in HU.

    Parameters
    ----------
    voxels
        [slice, row, column] along the network's axes, in the CT's own type of number.
    grid
        Where they lie.
    spec
        The model's input section.
    margins, notes
        As in :class:`ModelInput`.
    """

    voxels: npt.NDArray[Any]
    grid: Grid
    spec: InputSpec
    margins: Margins = ((0, 0), (0, 0), (0, 0))
    notes: tuple[str, ...] = ()

    def model_input(self, should_stop: ShouldStop | None = None) -> ModelInput:
        """Scale the intensities and arrange them into channels."""
        import torch

        intensities = scale_intensities(self.voxels, self.spec, _asker(should_stop))
        tensor = _arrange(torch.from_numpy(intensities), self.spec)
        affine = self.grid.affine
        if self.spec.layout == "axial_triples":
            # Image k holds slices 3k, 3k + 1, 3k + 2; its middle is slice 3k + 1.
            affine = affine @ translation((1.0, 0.0, 0.0)) @ scaling((TRIPLE, 1.0, 1.0))
        return ModelInput(tensor, affine, self.grid, self.spec.layout, self.margins, self.notes)


@dataclass(frozen=True, eq=False)
class PreparedCT:
    """A CT turned and resampled as a model asks, from which it can be given any window.

    Parameters
    ----------
    voxels
        On the model's axes, in HU.
    grid
        Where they lie.
    spec
        The model's input section.
    name
        Of the CT, for messages.
    """

    voxels: npt.NDArray[Any]
    grid: Grid
    spec: InputSpec
    name: str
    # Of the voxels, once somebody has needed it.
    _minimum: list[float] = field(default_factory=list, init=False, repr=False)

    def box_at(self, at_mm: Point | None) -> Box:
        """The voxels the network sees; see :func:`prepare` for the errors."""
        return place_window(self.grid, self.spec, at_mm, self.name)

    def inside(self, at_mm: Point | None) -> npt.NDArray[Any]:
        """HU of the part of the window that lies in the CT (a view)."""
        part: npt.NDArray[Any] = self.voxels[self.box_at(at_mm).inside(self.grid.shape)]
        return part

    def window(
        self, at_mm: Point | None = None, should_stop: ShouldStop | None = None
    ) -> ModelInput:
        """Make what the network is given; see :func:`prepare`."""
        return self.cut_window(at_mm, should_stop).model_input(should_stop)

    def cut_window(
        self, at_mm: Point | None = None, should_stop: ShouldStop | None = None
    ) -> WindowHU:
        """Cut out what the network sees, still in HU and small to keep; see :func:`prepare`."""
        give_up_if_asked = _asker(should_stop)
        spec = self.spec
        box = self.box_at(at_mm)
        voxels, affine = cut(
            self.voxels, self.grid.affine, box, self._fill(box, give_up_if_asked), give_up_if_asked
        )
        margins = box.margins(self.grid.shape)
        notes = _padding_notes(margins, box.shape, spec)
        if spec.layout == "slice" and spec.fit == "resize":
            voxels, affine = resize(voxels, affine, (None, *spec.shape[1:]), give_up_if_asked)
        return WindowHU(voxels, Grid(voxels.shape, affine), spec, margins, notes)

    def _fill(self, box: Box, before_slab: BeforeSlab) -> float | None:
        """HU outside the CT; None repeats its border."""
        if self.spec.padding == "edge":
            return None
        if self.spec.padding != "minimum":
            return float(self.spec.padding)
        if not any(map(any, box.margins(self.grid.shape))):
            return 0.0  # for nothing
        if not self._minimum:
            found = []
            for first in range(0, len(self.voxels), _SLAB):
                before_slab()
                found.append(float(self.voxels[first : first + _SLAB].min()))
            self._minimum.append(min(found))
        return self._minimum[0]


def prepare(
    volume: Volume,
    spec: InputSpec,
    at_mm: Point | None = None,
    should_stop: ShouldStop | None = None,
) -> ModelInput:
    """Run the steps of `spec` over a CT.

    Parameters
    ----------
    volume
        A CT in HU.
    spec
        The model's input section.
    at_mm
        (I, P, L) mm of the place to look at; needed where `spec.needs_point`.
    should_stop
        Asked every few slices.

    Raises
    ------
    InputError
        The volume is not in HU, is far too small, or the point lies outside it; a point is
        given to a model that sees the whole CT.
    Cancelled
        `should_stop` said so.
    """
    # Refused before the CT is resampled, which can take seconds.
    require_hu(volume)
    place_window(model_grid(volume.grid, spec), spec, at_mm, volume.name)
    return prepare_ct(volume, spec, should_stop).window(at_mm, should_stop)


def prepare_ct(
    volume: Volume, spec: InputSpec, should_stop: ShouldStop | None = None
) -> PreparedCT:
    """Do what is done to the whole CT: turn it, resample it; see :func:`prepare`."""
    give_up_if_asked = _asker(should_stop)
    require_hu(volume)
    voxels, affine = reorient(volume.voxels, volume.affine, spec.orientation)
    if spec.spacing_mm is not None:
        voxels, affine = resample_to_spacing(voxels, affine, spec.spacing_mm, give_up_if_asked)
    if spec.fit == "resize" and spec.layout != "slice":
        require_coverage(voxels.shape, spec, volume.name)
        voxels, affine = resize(voxels, affine, spec.shape, give_up_if_asked)
    return PreparedCT(voxels, Grid(voxels.shape, affine), spec, volume.name)


def require_hu(volume: Volume) -> None:
    """Raise InputError if a volume is not a CT in HU."""
    if volume.quantity is not Quantity.HU:
        what = "is a label map" if volume.quantity is Quantity.LABELS else "is not known to be HU"
        raise InputError(
            volume.name,
            f"its content {what}, and the model was trained on CT values",
            "Choose a CT in Hounsfield units (--assume-hu on the command line takes it for one)",
        )


def scale_intensities(
    voxels: npt.NDArray[Any], spec: InputSpec, before_slab: BeforeSlab = lambda: None
) -> npt.NDArray[np.float32]:
    """Clip HU to the window, map it to `scale_to`, subtract; float32 and contiguous."""
    low, high = spec.window_hu
    result = np.empty(voxels.shape, np.float32)
    for first in range(0, len(voxels), _SLAB):
        before_slab()
        values = result[first : first + _SLAB]
        values[...] = voxels[first : first + _SLAB]
        np.clip(values, low, high, out=values)
        if spec.scale_to is not None:
            bottom, top = spec.scale_to
            values -= low
            values *= (top - bottom) / (high - low)
            if bottom:
                values += bottom
        if spec.subtract:
            values -= spec.subtract
    return result


def _arrange(intensities: Tensor, spec: InputSpec) -> Tensor:
    """Bring [d, h, w] into the layout, and normalise its channels."""
    import torch

    depth, rows, columns = intensities.shape
    if spec.layout == "axial_triples":
        channel_axis = 2
        tensor = intensities.reshape(1, depth // TRIPLE, TRIPLE, rows, columns)
    elif spec.layout == "volume":
        channel_axis = 1
        tensor = intensities[None, None].expand(1, spec.channels, depth, rows, columns)
    else:  # 'slices'; for 'slice' the depth is 1, which becomes the batch
        channel_axis = 1
        tensor = intensities[:, None].expand(depth, spec.channels, rows, columns)
    along = [1] * tensor.ndim
    along[channel_axis] = -1
    if spec.channel_mean is not None:
        tensor = tensor - torch.tensor(spec.channel_mean).reshape(along)
    if spec.channel_std is not None:
        tensor = tensor / torch.tensor(spec.channel_std).reshape(along)
    return tensor


def _asker(should_stop: ShouldStop | None) -> BeforeSlab:
    def give_up_if_asked() -> None:
        if should_stop is not None and should_stop():
            raise Cancelled("the computation was cancelled")

    return give_up_if_asked


def _padding_notes(margins: Margins, shape: Shape3D, spec: InputSpec) -> tuple[str, ...]:
    covered = [
        (length - before - after) / length
        for (before, after), length in zip(margins, shape, strict=True)
    ]
    if min(covered) >= 0.5:
        return ()
    share = " x ".join(f"{100 * part:.0f}%" for part in covered)
    return (
        f"The CT fills only {share} of the model's input; the rest is {padding_in_words(spec)}.",
    )
