"""Text on napari's canvas that goes with the picture into every screenshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.components.overlays import TextOverlay

if TYPE_CHECKING:
    from napari.components import ViewerModel


class CanvasText:
    """One text at an edge or in a corner of the canvas, made when there is something to say.

    Parameters
    ----------
    viewer
        Whose canvas is written on.
    name
        Of the overlay among the viewer's; no other text may have it.
    position
        napari's name of the place, "middle_left" say.
    points
        Size of the letters.
    in_each_view
        Repeat it in each cell of a grid of views.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        name: str,
        position: str,
        *,
        points: float,
        in_each_view: bool = False,
    ) -> None:
        self._viewer = viewer
        self._name = f"hirescam_{name}"
        self._options = {"position": position, "font_size": points, "gridded": in_each_view}
        self._overlay: TextOverlay | None = None

    @property
    def text(self) -> str:
        """What is written; "" if nothing is."""
        overlay = self._overlay
        return overlay.text if overlay is not None and overlay.visible else ""

    def write(self, text: str) -> None:
        """Write a text instead of the present one; "" hides it. The same again costs nothing."""
        if text == self.text:
            return
        if self._overlay is None:
            self._overlay = TextOverlay(text=text, visible=True, **self._options)
            self._viewer.canvas.overlays[self._name] = self._overlay
            return
        if text:
            self._overlay.text = text
        self._overlay.visible = bool(text)

    def remove(self) -> None:
        """Take the text off the canvas for good."""
        if self._overlay is not None:
            self._viewer.canvas.overlays.pop(self._name, None)
            self._overlay = None
