"""What the viewer shows of an explanation: maps, two views, 3-D, the borders of the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_hirescam.plugin.cell_grid import CellGrid
from napari_hirescam.plugin.map_layers import MapLayers
from napari_hirescam.plugin.map_style import MapKey, peak_mm
from napari_hirescam.plugin.side_by_side import SideBySide
from napari_hirescam.plugin.view_3d import View3D
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.attention.result import Explanation
    from napari_hirescam.plugin.display_panel import DisplayPanel
    from napari_hirescam.plugin.run_record import RunRecord

_N_SLICE_AXES = 2


class AttentionView(QObject):
    """Draws the ticked labels' maps as the display panel says.

    Parameters
    ----------
    viewer
        Where the layers live.
    display
        Methods, style, and what else is wanted.
    ticked
        Gives the labels whose maps are wanted.
    map_deleted
        Called with the key of a map layer that the user deletes.
    """

    #: The explained CT was moved by hand, or moved back.
    ct_moved = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        display: DisplayPanel,
        ticked: Callable[[], Sequence[str]],
        map_deleted: Callable[[MapKey], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._display, self._ticked = viewer, display, ticked
        self.explanation: Explanation | None = None
        self.record: RunRecord | None = None
        self.maps = MapLayers(viewer, map_deleted)
        self.side_by_side = SideBySide(viewer, self._right_maps, self)
        self.view_3d = View3D(viewer)
        self.cell_grid = CellGrid(viewer, self)
        self._events, self._ct_events = ViewerEvents(), ViewerEvents()
        self._events.connect(viewer.dims.events.ndisplay, self._on_ndisplay_changed)
        display.style_changed.connect(self._restyle)
        display.cells_toggled.connect(self._on_cells_toggled)
        self.side_by_side.ended.connect(self._on_side_by_side_ended)
        self.cell_grid.removed.connect(self._on_cells_deleted)

    def take(self, explanation: Explanation | None, record: RunRecord | None = None) -> None:
        """Hold another explanation, or none; :meth:`show` draws it."""
        self.explanation, self.record = explanation, record
        self.maps.mark("")
        self._ct_events.disconnect()
        if record is not None:
            events = record.layer.events
            for emitter in (
                events.scale,
                events.translate,
                events.affine,
                events.rotate,
                events.shear,
            ):
                self._ct_events.connect(emitter, self._on_ct_moved)

    def show(self, idle_ct: Image | None) -> None:
        """Bring the viewer into line with ticks and display panel.

        Parameters
        ----------
        idle_ct
            The CT to show as long as none was explained.
        """
        explanation, ct = self.explanation, self.ct_or(idle_ct)
        if explanation is None:
            self.maps.clear()
            self.cell_grid.hide()
            return
        # Method by method, so that in the list of layers the right view's maps come last.
        minus = self._display.minus
        wanted = [
            MapKey(label, method, minus)
            for method in self._display.methods
            for label in self._ticked()
        ]
        above = self.record.layer if self.record is not None else None
        self.maps.show(explanation, wanted, self._display.style_of_maps(), above=above)
        self._show_cells()
        if self._display.side_by_side and ct is not None:
            self.side_by_side.enter(ct)
        else:
            self.side_by_side.leave()
        selection = self._viewer.layers.selection
        if self.maps.layers and (selection.active is None or not selection.active.visible):
            # The controls of the map that was last shown, rather than none.
            selection.active = list(self.maps.layers.values())[-1]

    def ct_or(self, idle_ct: Image | None) -> Image | None:
        """The CT that the maps belong to; the other one as long as there are none."""
        explained = self.record.layer if self.record is not None else None
        return explained if explained in self._viewer.layers else idle_ct

    def go_to_peak(self, label: str) -> None:
        """Move the slices to the strongest cell of a label."""
        if self.explanation is None:
            return
        method, placement = self._display.methods[0], self._display.style_of_maps().placement
        ct = self.record.volume.grid if self.record is not None else None
        peak = peak_mm(self.explanation.map(label, method, placement), ct)
        self._viewer.dims.set_point((-3, -2, -1), peak)

    def toggle_3d(self, *, on: bool, idle_ct: Image | None, others: Sequence[Image]) -> None:
        """Look into the body of the shown CT, without the other CTs; or go back."""
        ct = self.ct_or(idle_ct)
        if on:
            hidden = [other for other in others if other is not ct and other.visible]
            self.view_3d.enter([ct] if ct is not None else [], hidden)
        else:
            self.view_3d.leave()

    def leave(self) -> None:
        """Without its panel, leave the viewer as it was: one view, slices, no maps."""
        self.view_3d.leave()
        self.side_by_side.leave()
        self.cell_grid.hide()
        self.maps.clear()

    def all_events(self) -> list[ViewerEvents]:
        """Every connection to the viewer, to be ended with the widget."""
        return [self._events, self._ct_events, self.maps.events, self.cell_grid.events]

    def _show_cells(self) -> None:
        explanation, ticked = self.explanation, self._ticked()
        if explanation is None or not ticked or not self._display.cells.isChecked():
            self.cell_grid.hide()
            return
        placement = self._display.style_of_maps().placement
        cells = explanation.map(ticked[0], self._display.methods[0], placement).grid
        self.cell_grid.show(cells, self.record.layer if self.record is not None else None)

    def _on_cells_toggled(self, _on: bool) -> None:  # noqa: FBT001 - Qt's slot
        self._show_cells()

    def _restyle(self) -> None:
        style = self._display.style_of_maps()
        self.maps.restyle(style.threshold, style.opacity)

    def _right_maps(self) -> list[Image]:
        if not self._display.side_by_side:
            return []
        right = self._display.methods[1]
        return [layer for key, layer in self.maps.layers.items() if key.method == right]

    def _on_ct_moved(self, _event: Event) -> None:
        self.ct_moved.emit()

    def _on_cells_deleted(self) -> None:
        self._display.cells.setChecked(False)

    def _on_side_by_side_ended(self) -> None:
        if self._display.side_by_side:
            # One view cannot show two methods over each other.
            self._display.show_one()

    def _on_ndisplay_changed(self, event: Event) -> None:
        if event.value == _N_SLICE_AXES:
            self._display.three_d.setChecked(False)
