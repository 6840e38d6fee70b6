"""Slices that the reader marked as drawn well, to have those between them drawn anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hirescam.plugin.reviewing.editable_mask import EditableMask


class MarkedSlices(QWidget):
    """Marks the slice on show, and lists those that are marked in the plane on show.

    Parameters
    ----------
    viewer
        Tells which slice is shown.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: EditableMask | None = None
        self._marked: set[tuple[int, int]] = set()
        self.button = QPushButton("Mark slice")
        self.button.setToolTip(
            "Mark the slice on show, or take its mark off; \N{LEFT DOUBLE QUOTATION MARK}Between "
            "slices\N{RIGHT DOUBLE QUOTATION MARK} draws what lies between marked ones anew (M)"
        )
        self.button.clicked.connect(self.toggle)
        self.listed = QLabel()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.listed, 1)

    @property
    def axis(self) -> int:
        """Across which the slices on show lie."""
        return int(self._viewer.dims.order[0])

    @property
    def indices(self) -> tuple[int, ...]:
        """The marked slices across :attr:`axis`, in order."""
        return tuple(sorted(index for axis, index in self._marked if axis == self.axis))

    def set_layer(self, layer: EditableMask | None) -> None:
        """Mark slices of this layer from now on, none at first."""
        self._layer = layer
        self._marked.clear()
        self._write()

    def toggle(self) -> None:
        """Mark the slice on show, or take its mark off."""
        if self._layer is None or self._viewer.dims.ndisplay != 2:
            return
        index = round(float(self._layer.world_to_data(self._viewer.dims.point)[self.axis]))
        if 0 <= index < self._layer.data.shape[self.axis]:
            self._marked ^= {(self.axis, index)}
        self._write()

    def _write(self) -> None:
        # From one on, as the planes number their slices.
        shown = ", ".join(str(index + 1) for index in self.indices)
        self.listed.setText(f"Marked: {shown}" if shown else "")
