"""Where a patch network looks: a point the user marked, or where the slices stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari.layers import Points

if TYPE_CHECKING:
    from napari.components import ViewerModel

_N_AXES = 3


@dataclass(frozen=True)
class WindowCentre:
    """A point in (I, P, L) mm and, in words, where it was taken from."""

    at_mm: tuple[float, float, float]
    origin: str

    def place(self) -> str:
        """Say where it is, in the patient's letters."""
        inferior, posterior, left = self.at_mm
        place = ", ".join(
            f"{letters[value < 0]} {abs(value):.0f}"
            for value, letters in ((left, "LR"), (posterior, "PA"), (-inferior, "SI"))
        )
        return f"{place} mm"

    def sentence(self) -> str:
        """Say where the window lies and who chose the place."""
        return f"Looks at {self.place()}: {self.origin}."


def window_centre(viewer: ViewerModel) -> WindowCentre | None:
    """Take the selected point of the active Points layer, else the position of the slices.

    None while the viewer shows nothing with three axes.
    """
    active = viewer.layers.selection.active
    if isinstance(active, Points) and active.ndim == _N_AXES and active.selected_data:
        index = min(active.selected_data)
        a, b, c = (float(x) for x in active.data_to_world(active.data[index]))
        return WindowCentre((a, b, c), f"the selected point of {active.name}")
    if viewer.dims.ndim < _N_AXES:
        return None
    a, b, c = (float(x) for x in viewer.dims.point[-_N_AXES:])
    return WindowCentre(
        (a, b, c), "the position of the slices (or select a point of a Points layer)"
    )
