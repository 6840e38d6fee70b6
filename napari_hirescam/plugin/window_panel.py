"""Where a patch network looks: the window's place, and the ways to change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.ct_layers import world_transform
from napari_hirescam.plugin.place_follower import PlaceFollower
from napari_hirescam.plugin.viewer_events import ViewerEvents
from napari_hirescam.plugin.window_box import WindowBox

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hirescam.models.spec import InputSpec
    from napari_hirescam.plugin.window_centre import WindowCentre

    Point = tuple[float, float, float]


class WindowPanel(QWidget):
    """The window's place in words, placing it, and whether the model runs along with it.

    Parameters
    ----------
    viewer
        Where the window is drawn.
    """

    #: The user moved the window.
    moved = Signal()
    #: The window is elsewhere, or gone, or told in other words.
    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = WindowBox(viewer, self)
        self._place = PlaceFollower(viewer, self)
        self._ct: Image | None = None
        self._spec: InputSpec | None = None
        self._refusal = ""

        self.placing = QPushButton("Place by click")
        self.placing.setCheckable(True)
        self.placing.setToolTip(
            "Click into a slice, or drag there, to put the window. Without it, drag its cross."
        )
        self.here = QPushButton("To the slices")
        self.here.setToolTip("Put the window where the slices stand.")
        self.follow = QCheckBox("Run along")
        self.follow.setChecked(True)
        self.follow.setToolTip("Score the window and draw its map anew while it is moved.")
        self._text = QLabel()
        self._text.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.placing, 1)
        row.addWidget(self.here, 1)
        row.addWidget(self.follow)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 4)
        layout.addLayout(row)
        layout.addWidget(self._text)

        self.placing.toggled.connect(self._on_placing_toggled)
        self.here.clicked.connect(self._move_to_slices)
        self.box.placing_changed.connect(self.placing.setChecked)
        self.box.moved.connect(self._on_moved)
        self.box.drawn.connect(self._on_drawn)
        self._place.point_selected.connect(self._on_point_selected)

    @property
    def centre(self) -> WindowCentre | None:
        """Where the model would look now; None while nothing is known of a place."""
        return self.box.centre

    @property
    def text(self) -> str:
        """What is said of the window."""
        text: str = self._text.text()
        return text

    def set_subject(self, ct: Image | None, spec: InputSpec | None) -> None:
        """Show the window of a model in a CT; none without either, or where none is needed."""
        self._refusal = ""
        if ct is None or spec is None or not spec.needs_point:
            self._ct = self._spec = None
            if self.box.shown:
                self.box.hide()
            return
        at_mm = None
        if ct is not self._ct or not self.box.shown:
            at_mm = self._slices_in(ct)
        self._ct, self._spec = ct, spec
        try:
            self.box.show(ct, spec, at_mm)
        except HirescamError as error:
            # Told in the panel: it is the chosen layer that is no CT, and nothing has been run.
            self._refusal = str(error)
            if self.box.shown:
                self.box.hide()
            self._on_drawn()

    def refresh(self) -> None:
        """Draw the window anew where its CT has moved, or where the user deleted it."""
        self.set_subject(self._ct, self._spec)

    def all_events(self) -> list[ViewerEvents]:
        """Every connection to the viewer, to be ended with the widget."""
        return [self.box.events, *self._place.all_events()]

    def _slices_in(self, ct: Image) -> Point | None:
        """Take the place of the slices if it lies in a CT."""
        centre = self._place.centre
        if centre is None or ct.ndim != len(centre.at_mm):
            return None
        inverse = np.linalg.inv(world_transform(ct))
        index = inverse[:3, :3] @ np.array(centre.at_mm) + inverse[:3, 3]
        inside = (index > -0.5).all() and (index < np.array(ct.data.shape) - 0.5).all()
        return centre.at_mm if inside else None

    def _on_placing_toggled(self, on: bool) -> None:  # noqa: FBT001 - Qt's slot
        self.box.set_placing(on=on)
        self.placing.setChecked(self.box.placing)

    def _move_to_slices(self) -> None:
        self.refresh()
        centre = self._place.slices
        if centre is not None:
            self.box.move_to(centre.at_mm)

    def _on_point_selected(self, at_mm: Point) -> None:
        if self.box.shown:
            self.box.move_to(at_mm)

    def _on_moved(self, _at_mm: Point) -> None:
        self.moved.emit()

    def _on_drawn(self) -> None:
        self._text.setText(self._refusal or self.box.sentence())
        self._text.setVisible(bool(self._text.text()))
        self.changed.emit()
