"""The colours of attention as napari's colour maps."""

from __future__ import annotations

from napari.utils.colormaps import Colormap

from napari_hirescam.attention.colour_scales import (
    RGBA,
    SCALES,
    STRONGEST,
    positive_colours,
    signed_colours,
)

__all__ = ["N_SCALES", "STRONGEST", "positive", "signed", "swatch"]

#: How many labels can be told apart by colour.
N_SCALES = len(SCALES)


def positive(scale: int, threshold: float) -> Colormap:
    """Make the colour map of a rectified map: transparent below the threshold.

    Parameters
    ----------
    scale
        Which colour scale; counts round where there are more labels than scales.
    threshold
        Share of the map's maximum, 0 to 1, where colour begins.
    """
    name, _colours = SCALES[scale % N_SCALES]
    return _colormap(positive_colours(scale, threshold), f"HiResCAM {name}")


def signed(threshold: float) -> Colormap:
    """Make the colour map of a raw map: red speaks for the label, blue against it.

    Parameters
    ----------
    threshold
        Share of the largest magnitude, 0 to 1, where colour begins on either side.
    """
    return _colormap(signed_colours(threshold), "HiResCAM signed")


def swatch(scale: int) -> str:
    """Name the colour (#rrggbb) that stands for a scale in lists."""
    return SCALES[scale % N_SCALES][1][2]


def _colormap(rgba: RGBA, name: str) -> Colormap:
    return Colormap(rgba, name=name, nan_color="transparent")
