"""Letters on the edges of the canvas: which side of the patient lies there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_hirescam.plugin.canvas_text import CanvasText
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import Camera, Dims, ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.plugin.patient_layers import PatientLayers
    from napari_hirescam.volume import FloatArray

_N_AXES, _N_SLICE_AXES = 3, 2
# World axes grow towards the first letter of each pair.
_LETTERS = (("I", "S"), ("P", "A"), ("L", "R"))
# A direction is named after an axis too that it leans to by more than 10 degrees.
_NAMED = float(np.sin(np.radians(10)))
_POINTS = 14.0


class EdgeLetters(NamedTuple):
    """What lies towards each edge of the canvas; "" where that cannot be said."""

    left: str = ""
    right: str = ""
    top: str = ""
    bottom: str = ""


def letters_of(direction: npt.ArrayLike) -> str:
    """Name a direction in the patient: "L", or "LA" where it leans forwards.

    Parameters
    ----------
    direction
        [3] along (I, P, L), of any length.

    Returns
    -------
    Letters of R/L, A/P and S/I by falling share; "" for a direction of no length.
    """
    along = np.asarray(direction, dtype=np.float64)
    length = np.linalg.norm(along)
    if not length > 0:
        return ""
    along = along / length
    ranked = np.argsort(-np.abs(along), kind="stable")
    return "".join(_LETTERS[k][int(along[k] < 0)] for k in ranked if abs(along[k]) > _NAMED)


def edge_letters(dims: Dims, camera: Camera) -> EdgeLetters:
    """Say what lies towards the edges of a viewer whose last three axes are (I, P, L).

    Holds for every order of the axes, for slices and for the 3-D view, and for a camera that
    was turned or whose axes were flipped. An edge along another axis (time, say) has no letter.
    """
    if dims.ndim < _N_AXES:
        return EdgeLetters()
    right, up = _canvas_directions(dims, camera)
    return EdgeLetters(letters_of(-right), letters_of(right), letters_of(up), letters_of(-up))


def _canvas_directions(dims: Dims, camera: Camera) -> tuple[FloatArray, FloatArray]:
    """Find the (I, P, L) directions that point right and up on the canvas."""
    right, up = np.zeros(dims.ndim), np.zeros(dims.ndim)
    displayed = list(dims.displayed)
    if dims.ndisplay == _N_SLICE_AXES:
        # The camera's angles count in 3-D only.
        _depth, vertical, horizontal = (str(way) for way in camera.orientation)
        up[displayed[0]] = -1.0 if vertical == "down" else 1.0
        right[displayed[1]] = 1.0 if horizontal == "right" else -1.0
    else:
        hand = 1.0 if str(camera.handedness) == "right" else -1.0
        up[displayed] = camera.up_direction
        right[displayed] = hand * np.cross(camera.view_direction, camera.up_direction)
    return right[-_N_AXES:], up[-_N_AXES:]


class OrientationLetters:
    """Keeps the four letters right while the view changes.

    They are shown only as long as what is shown says where the patient's left is: a layer of
    another reader does not, nor one that was turned since it was read.

    Parameters
    ----------
    viewer
        Whose canvas is written on.
    layers
        The layers that know the patient.
    """

    def __init__(self, viewer: ViewerModel, layers: PatientLayers) -> None:
        self._viewer, self._layers = viewer, layers
        self._on = True
        places = {
            "left": "middle_left",
            "right": "middle_right",
            "top": "top_center",
            "bottom": "bottom_center",
        }
        self._texts = {
            edge: CanvasText(viewer, f"letter_{edge}", place, points=_POINTS, in_each_view=True)
            for edge, place in places.items()
        }
        self._events = ViewerEvents()
        dims, camera = viewer.dims.events, viewer.scene.camera.events
        for emitter in (dims.order, dims.ndisplay, dims.ndim, camera.angles, camera.orientation):
            self._events.connect(emitter, self._on_view_changed)
        layers.changed.connect(self.refresh)
        self.refresh()

    @property
    def on(self) -> bool:
        """Whether letters are wanted."""
        return self._on

    @on.setter
    def on(self, value: bool) -> None:
        self._on = value
        self.refresh()

    @property
    def shown(self) -> EdgeLetters:
        """What is written now."""
        return EdgeLetters(*(self._texts[edge].text for edge in EdgeLetters._fields))

    def refresh(self) -> None:
        """Write what is true now."""
        letters = EdgeLetters()
        if self._on and self._layers.know_directions:
            letters = edge_letters(self._viewer.dims, self._viewer.scene.camera)
        for edge, letter in letters._asdict().items():
            self._texts[edge].write(letter)

    def leave(self) -> None:
        """Watch nothing any more."""
        self._events.disconnect()

    def remove(self) -> None:
        """Take the letters off the canvas."""
        for text in self._texts.values():
            text.remove()

    def _on_view_changed(self, _event: Event) -> None:
        self.refresh()
