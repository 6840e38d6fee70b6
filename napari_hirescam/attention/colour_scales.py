"""Colours of attention: opacity grows from nothing, so that the CT stays itself beside the heat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Opacity at the map's maximum, before that of a whole layer.
STRONGEST = 0.88
# Share of the range above the threshold over which opacity rises to its strongest.
_RAMP = 0.45

# From weak to strong attention. The first is the warm one everybody reads as heat; the others
# are told apart from it, and from each other, at their strong ends.
SCALES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("heat", ("#5a0a2c", "#b5122f", "#f04a1d", "#fca311", "#fff3b0")),
    ("ice", ("#06304f", "#0a6aa6", "#1fa9e0", "#7fd8f7", "#e4f9ff")),
    ("leaf", ("#083a1e", "#12793a", "#35b54a", "#9be564", "#f0ffd0")),
    ("violet", ("#2f0a4f", "#7a1fa2", "#c04be0", "#ec9cf5", "#fde9ff")),
    ("rose", ("#4f0a2f", "#b01368", "#f0489b", "#fb9cc8", "#ffe6f2")),
    ("sand", ("#3c2a08", "#80601a", "#c29a3c", "#e8cf86", "#fff6dc")),
)
_AGAINST = ("#e8f4ff", "#6db6f2", "#2166ac", "#0b2f66")
_FOR = ("#fff0e0", "#f7a35c", "#d6342c", "#7a0a1e")

_SAMPLES = 129

RGBA = npt.NDArray[np.float64]


def positive_colours(scale: int, threshold: float) -> RGBA:
    """Colours of a rectified map, from 0 to its maximum: transparent below the threshold.

    Parameters
    ----------
    scale
        Which colour scale; counts round where there are more labels than scales.
    threshold
        Share of the map's maximum, 0 to 1, where colour begins.

    Returns
    -------
    float64 [129, 4], red, green, blue, opacity from 0 to 1.
    """
    _name, colours = SCALES[scale % len(SCALES)]
    position = np.linspace(0, 1, _SAMPLES)
    return np.column_stack([_blend(colours, position), _opacity(position, threshold)])


def signed_colours(threshold: float) -> RGBA:
    """Colours of a raw map: red speaks for the label, blue against it.

    Parameters
    ----------
    threshold
        Share of the largest magnitude, 0 to 1, where colour begins on either side.

    Returns
    -------
    float64 [257, 4], from the most negative to the most positive.
    """
    half = np.linspace(0, 1, _SAMPLES)
    strength = _opacity(half, threshold)
    below = np.column_stack([_blend(_AGAINST, half), strength])[::-1]
    above = np.column_stack([_blend(_FOR, half), strength])
    return np.vstack([below[:-1], above])


def _opacity(position: npt.NDArray[np.float64], threshold: float) -> npt.NDArray[np.float64]:
    # At threshold 0 the ramp leaves zero attention fully transparent, too.
    ramp = max((1 - threshold) * _RAMP, 1e-3)
    return np.asarray(STRONGEST * np.clip((position - threshold) / ramp, 0, 1))


def _blend(colours: tuple[str, ...], position: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    rgb = np.array([[int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for c in colours])
    stops = np.linspace(0, 1, len(colours))
    return np.column_stack([np.interp(position, stops, rgb[:, k]) for k in range(3)])
