"""Grey-scale windows for CT: the usual ones, those of the file, and which to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.ct_windows import PRESETS
from napari_hirescam.source import DisplayWindow
from napari_hirescam.volume import Quantity, Volume

#: What a chest opens in. No textbook's: in a lung window the mediastinum is white, in a
#: mediastinal one the lung is black, and attention may lie in either.
CHEST = DisplayWindow("Chest overview", -300, 1600)
#: The preference that lets the file or its content decide.
AUTOMATIC = "automatic"

# Aerated lung, without the air around the patient; and what is denser than lung.
_LUNG_HU, _TISSUE_HU = (-950, -600), -300
# Lung's share of the two together: 0.21 to 0.55 in ten chest CTs of six makers of data, 0.12 in
# a trunk that holds the lungs' bases only (bowel gas, cushions and clothes count as lung).
_LUNG_SHARE = 0.16
_MANY_VOXELS = 200_000


def ends_of(window: DisplayWindow) -> tuple[float, float]:
    """Return the values that are drawn black and white."""
    return window.centre - window.width / 2, window.centre + window.width / 2


def window_between(low: float, high: float, known: Sequence[DisplayWindow] = ()) -> DisplayWindow:
    """Describe the window between two values; it takes the name of a known one that it is."""
    for window in (*known, *PRESETS.values(), CHEST):
        if np.allclose((low, high), ends_of(window), atol=0.5):
            return window
    return DisplayWindow("", (low + high) / 2, high - low)


def first_window(volume: Volume, preferred: str = AUTOMATIC) -> DisplayWindow:
    """Choose the window a volume opens in.

    Parameters
    ----------
    volume
        What is opened.
    preferred
        Key of :data:`PRESETS`; else the file decides and, where it asks for nothing, what
        there is to see in it.
    """
    if volume.quantity is Quantity.HU:
        if preferred in PRESETS:
            return PRESETS[preferred]
        asked = usable_windows(volume.source.windows if volume.source else ())
        if asked:
            return asked[0]
    return window_by_content(volume.voxels, volume.quantity)


def usable_windows(windows: Sequence[DisplayWindow]) -> tuple[DisplayWindow, ...]:
    """Leave out windows that show nothing, and what is asked for twice."""
    kept: dict[tuple[float, float], DisplayWindow] = {}
    for window in windows:
        if np.isfinite((window.centre, window.width)).all() and window.width >= 1:
            kept.setdefault((window.centre, window.width), window)
    return tuple(kept.values())


def window_by_content(voxels: npt.NDArray[Any], quantity: Quantity) -> DisplayWindow:
    """Choose a window from the voxels alone.

    A CT gets the chest's if a good part of it is aerated lung, else that of soft tissue;
    anything else its 1st to 99th percentile.
    """
    step = max(1, round((voxels.size / _MANY_VOXELS) ** (1 / 3)))
    sample = voxels[::step, ::step, ::step]
    if quantity is Quantity.HU:
        in_lung = (sample > _LUNG_HU[0]) & (sample < _LUNG_HU[1])
        n_lung, n_tissue = int(in_lung.sum()), int((sample > _TISSUE_HU).sum())
        is_chest = n_lung > _LUNG_SHARE * (n_lung + n_tissue)
        return CHEST if is_chest else PRESETS["soft_tissue"]
    low, high = (float(x) for x in np.percentile(sample, (1, 99)))
    return window_between(low, high if high > low else low + 1)


def words(window: DisplayWindow) -> str:
    """Write a window as radiologists do: "W 1500 L -600  Lung"."""
    name = f"  {window.name}" if window.name else ""
    return f"W {window.width:.4g} L {window.centre:.4g}{name}"
