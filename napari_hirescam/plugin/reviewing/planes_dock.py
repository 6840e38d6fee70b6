"""Where the other planes stand in napari's window."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QDockWidget, QMainWindow

from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari import Viewer
    from napari.utils.events import Event
    from qtpy.QtWidgets import QWidget

NAME = "Other planes"
_HEIGHT = 270
#: Another plugin rebuilds the window in several steps; it is looked at when it has come to rest.
_REST_MS = 120
_CORNERS = {
    Qt.Corner.BottomLeftCorner: Qt.DockWidgetArea.LeftDockWidgetArea,
    Qt.Corner.BottomRightCorner: Qt.DockWidgetArea.RightDockWidgetArea,
}


class PlanesDock(QObject):
    """Docks the planes under the canvas; steps aside for napari-orthogonal-views.

    Parameters
    ----------
    viewer
        In whose window.
    planes
        What is docked; it is deleted by :meth:`remove`.
    """

    #: The planes stepped aside, or came back.
    aside_changed = Signal(bool)

    def __init__(self, viewer: Viewer, planes: QWidget, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._planes: QWidget | None = planes
        planes.destroyed.connect(self._forget)
        self._dock: QDockWidget = viewer.window.add_dock_widget(
            planes, name=NAME, area="bottom", add_vertical_stretch=False
        )
        self._aside = False
        self._corners: dict[Qt.Corner, Qt.DockWidgetArea] = {}
        main = self._dock.window()
        if isinstance(main, QMainWindow):
            # Under the canvas only: lists and forms at the sides keep the window's height.
            for corner, area in _CORNERS.items():
                self._corners[corner] = main.corner(corner)
                main.setCorner(corner, area)
            main.resizeDocks([self._dock], [_HEIGHT], Qt.Orientation.Vertical)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_REST_MS)
        self._soon.timeout.connect(self.settle)
        self.events = ViewerEvents()
        self.events.connect(viewer.canvas.events.size, self._on_canvas_resized)

    @property
    def aside(self) -> bool:
        """True while napari-orthogonal-views shows its planes instead."""
        return self._aside

    def settle(self) -> None:
        """Hide the planes if napari-orthogonal-views shows its own, show them if it no longer does.

        A dock that the user has hidden stays so.
        """
        if self._planes is None:
            return
        others = shows_orthogonal_views(self._dock.window())
        if others != self._aside:
            self._aside = others
            self._dock.setVisible(not others)
            self.aside_changed.emit(others)

    def remove(self) -> None:
        """Take the planes out of the window, which is then as it was."""
        self.events.disconnect()
        self._soon.stop()
        planes, self._planes = self._planes, None
        if planes is None:
            return
        main = self._dock.window()
        if isinstance(main, QMainWindow):
            for corner, area in self._corners.items():
                main.setCorner(corner, area)
        self._viewer.window.remove_dock_widget(self._dock)
        planes.deleteLater()

    def _on_canvas_resized(self, _event: Event) -> None:
        self._soon.start()

    def _forget(self) -> None:
        """Know that somebody else deleted the planes, the user with the dock's button say."""
        self._planes = None
        self._soon.stop()
        self.events.disconnect()


def shows_orthogonal_views(window: QWidget) -> bool:
    """True if napari-orthogonal-views has its planes open in a window."""
    plugin = sys.modules.get("napari_orthogonal_views")
    if plugin is None:
        return False
    return any(one.isVisible() for one in window.findChildren(plugin.OrthoViewWidget))
