"""One plane of the patient, drawn beside napari's canvas: fast also without a graphics card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QPainter, QPen, QTransform
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_hirescam.plugin.reviewing.layer_pictures import (
    LayerPicture,
    picture_of,
    slice_index,
)

if TYPE_CHECKING:
    from napari.layers import Layer
    from qtpy.QtGui import QMouseEvent, QPaintEvent, QWheelEvent

    from napari_hirescam.plugin.reviewing.planes import Plane

CROSSHAIR_COLOUR = "#5ec8ff"
#: Pixels around the place that the crosshair leaves free.
GAP_PIXELS = 9
_LETTER_COLOUR, _NAME_COLOUR = "#e8e8e8", "#b8b8b8"
_LETTER_POINTS, _NAME_POINTS = 11, 8
_LINE_PIXELS = 1.6
_MARGIN_PIXELS = 6
_ZOOM_STEP, _MOST_ZOOM = 1.25, 16.0
#: Share of the width and height around the middle in which a place may lie without the picture
#: being moved.
_CALM = 0.8
_WHEEL_STEP = 120
_TIP = (
    "Click or drag: move the crosshair.  Wheel: slices.  Ctrl and wheel: zoom.\n"
    "Middle button, or Ctrl and left: grey window.  Double click: into the large picture."
)


class PlaneView(QWidget):
    """Draws the visible layers of a review in one plane, and is pointed at.

    Parameters
    ----------
    plane
        Which one.
    layers
        Gives the images and labels that are shown, the lowest first.
    """

    #: Carries the (I, P, L) mm that were pointed at.
    pointed = Signal(object)
    #: Carries the axis across the plane and a number of slices.
    scrolled = Signal(int, int)
    #: Carries the axis across the plane: this one is wanted in the large picture.
    chosen = Signal(int)
    #: A drag for the grey window begins; and it has come so many pixels to the right and down.
    window_drag_began = Signal()
    window_dragged = Signal(int, int)

    def __init__(
        self,
        plane: Plane,
        layers: Callable[[], Sequence[Layer]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.plane = plane
        self._layers = layers
        self._place = np.zeros(3)
        self._box: QRectF | None = None
        self._middle = QPointF()
        self._zoom = 1.0
        self._pictures: dict[Layer, tuple[int, LayerPicture]] = {}
        self._wheel = 0
        self._window_from: QPointF | None = None
        self.caption = ""
        self.setToolTip(_TIP)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(120, 100)
        self.setCursor(Qt.CursorShape.CrossCursor)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As large as a small picture."""
        return QSize(280, 240)

    @property
    def place_mm(self) -> tuple[float, float, float]:
        """The (I, P, L) mm where the crosshair is."""
        a, b, c = (float(x) for x in self._place)
        return a, b, c

    def show_place(self, place_mm: Sequence[float]) -> None:
        """Move to a place; the picture is moved along only where it would come close to an edge."""
        self._place = np.array(place_mm, dtype=np.float64)
        if self._window_from is None and self._box is not None and not self._is_calm():
            self._middle = self._kept_inside(self._point())
        self.update()

    def show_box(self, low_mm: Sequence[float], high_mm: Sequence[float]) -> None:
        """Fit the picture to a box of the patient, its corners in (I, P, L) mm."""
        plane = self.plane
        self._box = QRectF(
            QPointF(low_mm[plane.right], low_mm[plane.down]),
            QPointF(high_mm[plane.right], high_mm[plane.down]),
        )
        self._middle, self._zoom = self._box.center(), 1.0
        self.update()

    def forget(self, layer: Layer | None = None) -> None:
        """Draw a layer anew, or all of them: what they hold has changed."""
        if layer is None:
            self._pictures.clear()
        else:
            self._pictures.pop(layer, None)
        self.update()

    def show_nothing(self) -> None:
        """Draw no picture at all."""
        self._box, self.caption = None, ""
        self.forget()

    def place_at(self, pixel: QPointF) -> tuple[float, float, float]:
        """Tell the (I, P, L) mm under a pixel of this widget, in the plane that is shown."""
        back, _is_regular = self._transform().inverted()
        point = back.map(pixel)
        place = self._place.copy()
        place[self.plane.right], place[self.plane.down] = point.x(), point.y()
        a, b, c = (float(x) for x in place)
        return a, b, c

    def pixel_of(self, place_mm: Sequence[float]) -> QPointF:
        """Tell the pixel of this widget where a place lies, whatever slice it is in."""
        plane = self.plane
        return self._transform().map(QPointF(place_mm[plane.right], place_mm[plane.down]))

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw the layers, the crosshair and what lies towards the edges."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("black"))
        if self._box is None:
            painter.end()
            return
        to_pixels = self._transform()
        drawn = self._layers()
        for gone in self._pictures.keys() - set(drawn):
            del self._pictures[gone]
        for layer in drawn:
            picture = self._picture(layer)
            if picture is not None:
                _draw(painter, to_pixels, picture, layer.opacity)
        painter.setOpacity(1.0)
        self._draw_crosshair(painter)
        self._write(painter)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Point, or begin to drag the grey window."""
        if self._box is None:
            return
        left = event.button() == Qt.MouseButton.LeftButton
        with_ctrl = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        if event.button() == Qt.MouseButton.MiddleButton or (left and with_ctrl):
            self._window_from = event.position()
            self.window_drag_began.emit()
        elif left:
            self.pointed.emit(self.place_at(event.position()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Follow a drag."""
        if self._window_from is not None:
            way = event.position() - self._window_from
            self.window_dragged.emit(round(way.x()), round(way.y()))
        elif self._box is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self.pointed.emit(self.place_at(event.position()))

    def mouseReleaseEvent(self, _event: QMouseEvent) -> None:  # noqa: N802
        """End a drag."""
        self._window_from = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Ask for the large picture."""
        if self._box is not None and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit(self.plane.normal)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Turn over slices; with Ctrl, zoom about the cursor."""
        event.accept()
        if self._box is None:
            return
        self._wheel += event.angleDelta().y()
        steps = int(self._wheel / _WHEEL_STEP)  # towards 0: touch pads send small parts of a step
        if not steps:
            return
        self._wheel -= steps * _WHEEL_STEP
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self._zoom_about(event.position(), _ZOOM_STEP**steps)
        else:
            self.scrolled.emit(self.plane.normal, -steps)

    def _picture(self, layer: Layer) -> LayerPicture | None:
        index = slice_index(layer, self.plane, self._place)
        if index is None:
            return None
        known = self._pictures.get(layer)
        if known is None or known[0] != index:
            known = self._pictures[layer] = index, picture_of(layer, self.plane, index)
        return known[1]

    def _scale(self) -> float:
        """Pixels of a mm."""
        box = self._box
        if box is None:
            return 1.0
        width, height = self.width() - _MARGIN_PIXELS, self.height() - _MARGIN_PIXELS
        fitting = min(width / box.width(), height / box.height())
        return max(fitting, 1e-3) * self._zoom

    def _transform(self) -> QTransform:
        scale = self._scale()
        to_pixels = QTransform.fromTranslate(self.width() / 2, self.height() / 2)
        to_pixels.scale(scale, scale)
        to_pixels.translate(-self._middle.x(), -self._middle.y())
        return to_pixels

    def _point(self) -> QPointF:
        return QPointF(self._place[self.plane.right], self._place[self.plane.down])

    def _is_calm(self) -> bool:
        middle = QRectF(0, 0, self.width() * _CALM, self.height() * _CALM)
        middle.moveCenter(QPointF(self.width() / 2, self.height() / 2))
        return self._zoom <= 1 or middle.contains(self._transform().map(self._point()))

    def _kept_inside(self, middle: QPointF) -> QPointF:
        """Move the middle so that no more than need be of the widget lies outside the box."""
        box = self._box
        if box is None:
            return middle
        half_width = min(self.width() / self._scale(), box.width()) / 2
        half_height = min(self.height() / self._scale(), box.height()) / 2
        return QPointF(
            min(max(middle.x(), box.left() + half_width), box.right() - half_width),
            min(max(middle.y(), box.top() + half_height), box.bottom() - half_height),
        )

    def _zoom_about(self, pixel: QPointF, factor: float) -> None:
        back, _is_regular = self._transform().inverted()
        fixed = back.map(pixel)
        self._zoom = min(max(self._zoom * factor, 1.0), _MOST_ZOOM)
        back, _is_regular = self._transform().inverted()
        self._middle = self._kept_inside(self._middle + fixed - back.map(pixel))
        self.update()

    def _draw_crosshair(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        colour = QColor(CROSSHAIR_COLOUR)
        colour.setAlphaF(0.75)
        painter.setPen(QPen(colour, 1))
        at = self.pixel_of(self.place_mm)
        x, y = round(at.x()), round(at.y())
        painter.drawLine(0, y, x - GAP_PIXELS, y)
        painter.drawLine(x + GAP_PIXELS, y, self.width(), y)
        painter.drawLine(x, 0, x, y - GAP_PIXELS)
        painter.drawLine(x, y + GAP_PIXELS, x, self.height())

    def _write(self, painter: QPainter) -> None:
        frame = QRectF(self.rect()).adjusted(4, 2, -4, -2)
        middle, upright = Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignVCenter
        letters = self.plane.letters
        painter.setFont(_font(_LETTER_POINTS))
        for text, where in (
            (letters.left, Qt.AlignmentFlag.AlignLeft | upright),
            (letters.right, Qt.AlignmentFlag.AlignRight | upright),
            (letters.top, Qt.AlignmentFlag.AlignTop | middle),
            (letters.bottom, Qt.AlignmentFlag.AlignBottom | middle),
        ):
            _shadowed(painter, frame, where, text, _LETTER_COLOUR)
        painter.setFont(_font(_NAME_POINTS))
        left = Qt.AlignmentFlag.AlignLeft
        _shadowed(painter, frame, left | Qt.AlignmentFlag.AlignTop, self.plane.name, _NAME_COLOUR)
        _shadowed(painter, frame, left | Qt.AlignmentFlag.AlignBottom, self.caption, _NAME_COLOUR)


def _font(points: int) -> QFont:
    font = QFont()
    font.setPointSize(points)
    return font


def _shadowed(
    painter: QPainter, frame: QRectF, where: Qt.AlignmentFlag, text: str, colour: str
) -> None:
    """Write so that it is legible over bone, too."""
    painter.setPen(QColor("black"))
    painter.drawText(frame.translated(1, 1), where, text)
    painter.setPen(QColor(colour))
    painter.drawText(frame, where, text)


def _draw(painter: QPainter, to_pixels: QTransform, picture: LayerPicture, opacity: float) -> None:
    painter.setOpacity(opacity)
    if picture.image is not None:
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, picture.smooth)
        painter.drawImage(to_pixels.mapRect(picture.place), picture.image)
    rows, columns = picture.shape
    place = picture.place
    from_voxels = QTransform.fromTranslate(place.left(), place.top())
    from_voxels.scale(place.width() / columns, place.height() / rows)
    for colour, path in picture.outlines:
        painter.setPen(QPen(colour, _LINE_PIXELS))
        painter.drawPath((from_voxels * to_pixels).map(path))
