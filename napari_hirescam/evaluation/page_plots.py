"""Plots of reports, drawn with matplotlib and handed on as PNG; no display is needed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 130


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """Make a figure that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def as_png(figure: Figure) -> bytes:
    """Draw a figure as the bytes of a PNG."""
    image = io.BytesIO()
    # No version and no date inside, so that equal figures give equal files.
    figure.savefig(image, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return image.getvalue()
