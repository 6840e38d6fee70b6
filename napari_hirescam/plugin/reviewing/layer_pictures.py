"""One slice of a napari layer as a picture that Qt draws: grey values, colours or outlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QRectF
from qtpy.QtGui import QColor, QImage, QPainterPath

from napari_hirescam.plugin.patient_layers import spatial_transform
from napari_hirescam.plugin.reviewing.mask_outline import outline_segments

if TYPE_CHECKING:
    from napari_hirescam.plugin.reviewing.planes import Plane
    from napari_hirescam.volume import FloatArray

_N_AXES = 3
_N_SHADES = 256


@dataclass(frozen=True, eq=False)
class LayerPicture:
    """What a plane shows of one layer.

    Parameters
    ----------
    place
        Where the slice lies in the plane: left, top, width and height in mm.
    shape
        Rows and columns of the slice.
    image
        Colours; None where only outlines are drawn.
    smooth
        Whether colours may be blended from voxel to voxel.
    outlines
        Colour and lines, in indices of row and column (x is the column), by label.
    """

    place: QRectF
    shape: tuple[int, int]
    image: QImage | None = None
    smooth: bool = False
    outlines: tuple[tuple[QColor, QPainterPath], ...] = ()


def slice_index(layer: Layer, plane: Plane, place_mm: FloatArray) -> int | None:
    """Find the slice of a layer that a plane through a place shows; None outside the layer."""
    transform = spatial_transform(layer)
    step, origin = transform[plane.normal, plane.normal], transform[plane.normal, 3]
    # A hair is added, as napari's sliders stop at places that were rounded.
    index = int(np.floor((place_mm[plane.normal] - origin) / step + 0.5 + 1e-6))
    return index if 0 <= index < layer.data.shape[plane.normal] else None


def picture_of(layer: Image | Labels, plane: Plane, index: int) -> LayerPicture:
    """Draw one slice of a layer whose axes lie along (I, P, L).

    Parameters
    ----------
    layer
        An image is drawn in its colour map and contrast limits; labels as outlines where they
        have a contour, else filled.
    plane
        Which way to cut.
    index
        Of the slice, along the plane's normal.
    """
    # Not np.take, which copies the whole of a volume that is a flipped view of its file.
    values = layer.data[(slice(None),) * plane.normal + (index,)]
    if plane.down > plane.right:
        values = values.T
    place = _place(layer, plane)
    rows, columns = values.shape
    if isinstance(layer, Labels):
        if layer.contour > 0:
            outlines = tuple(_outlines(layer, values))
            return LayerPicture(place, (rows, columns), outlines=outlines)
        return LayerPicture(place, (rows, columns), _as_image(layer.colormap.map(values)))
    smooth = str(layer.interpolation2d) != "nearest"
    return LayerPicture(place, (rows, columns), _shaded(layer, values), smooth)


def _place(layer: Layer, plane: Plane) -> QRectF:
    transform = spatial_transform(layer)
    steps = np.diag(transform)[:3]
    low = transform[:3, 3] - steps / 2
    size = steps * np.array(layer.data.shape[-_N_AXES:])
    return QRectF(low[plane.right], low[plane.down], size[plane.right], size[plane.down])


def _shaded(layer: Image, values: npt.NDArray[Any]) -> QImage:
    low, high = layer.contrast_limits
    shades = (values.astype(np.float32) - low) * np.float32((_N_SHADES - 1) / (high - low))
    np.nan_to_num(shades, copy=False)
    shades = np.clip(shades, 0, _N_SHADES - 1).astype(np.uint8)
    colours = layer.colormap.map(np.linspace(0, 1, _N_SHADES) ** layer.gamma)
    return _as_image(np.asarray(colours)[shades])


def _as_image(colours: npt.NDArray[Any]) -> QImage:
    """Make a picture of [row, column, RGBA] colours between 0 and 1."""
    rgba = np.ascontiguousarray(np.round(colours * 255).astype(np.uint8))
    rows, columns, channels = rgba.shape
    kind = QImage.Format.Format_RGBA8888
    # Copied: Qt would go on reading the array after it was given back.
    return QImage(rgba.data, columns, rows, channels * columns, kind).copy()


def _outlines(layer: Labels, values: npt.NDArray[Any]) -> Any:
    for value in np.unique(values):
        if value == layer.colormap.background_value:
            continue
        red, green, blue, alpha = (float(x) for x in layer.colormap.map(value))
        path = QPainterPath()
        # Half a voxel on: an index is the centre of its voxel, Qt counts from the border.
        for row, column, to_row, to_column in outline_segments(values == value) + 0.5:
            path.moveTo(column, row)
            path.lineTo(to_column, to_row)
        yield QColor.fromRgbF(red, green, blue, alpha), path
