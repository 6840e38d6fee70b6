"""Pictures of a volume's middle slice, for choosers and for the wait while a scan is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.io.asking import Picture
from napari_hirescam.volume import Quantity, Volume

_WINDOW_HU = (-1000.0, 400.0)
_MOST_PIXELS = 256  # along either side


def grey_picture(
    plane: npt.NDArray[Any], pixel_mm: tuple[float, float], quantity: Quantity
) -> Picture:
    """Make a picture of one plane, at most 256 pixels high and wide.

    Parameters
    ----------
    plane
        [row, column].
    pixel_mm
        Distance between rows, and between columns.
    quantity
        HU are shown from -1000 to 400, anything else from its lowest to its highest value.
    """
    step = max(1, -(-max(plane.shape) // _MOST_PIXELS))
    small = plane[::step, ::step].astype(np.float32)
    finite = small[np.isfinite(small)]
    if quantity is Quantity.HU:
        low, high = _WINDOW_HU
    elif finite.size:
        low, high = float(finite.min()), float(finite.max())
    else:
        low, high = 0.0, 1.0
    share = np.nan_to_num((small - low) / max(high - low, 1e-6), nan=0.0, posinf=1.0, neginf=0.0)
    grey = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return Picture(grey, (pixel_mm[0] * step, pixel_mm[1] * step))


def middle_picture(volume: Volume) -> Picture:
    """Make a picture of a volume's middle axial slice."""
    plane = volume.voxels[volume.voxels.shape[0] // 2]
    _, row_mm, column_mm = volume.spacing_mm
    return grey_picture(plane, (row_mm, column_mm), volume.quantity)
