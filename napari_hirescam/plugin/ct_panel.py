"""Which CT is explained: a choice among the viewer's layers, and opening another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from magicgui.widgets import create_widget
from napari.layers import Image, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.ct_layers import (
    is_ct_of_ours,
    is_map_or_copy,
    placement_doubt,
    volume_from_layer,
    widen_contrast_range,
)
from napari_hirescam.plugin.geometry_view import show_report
from napari_hirescam.plugin.jobs import tell_error
from napari_hirescam.plugin.opening import Opening
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

_FILES = (
    "CT volumes and masks (*.nii *.nii.gz *.hdr *.img *.dcm DICOMDIR *.zip *.nrrd *.nhdr *.mha "
    "*.mhd *.npz);;All files (*)"
)


class CtPanel(QWidget):
    """The CT combo box, which follows the viewer, and 'Open CT'.

    Parameters
    ----------
    viewer
        Whose image layers are offered; this plugin's own map layers are not.
    """

    changed = Signal()
    #: Carries the layer of a CT that joined others in the viewer.
    opened = Signal(object)
    busy_changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._opening = Opening.of(viewer)
        self._opening.opened.connect(self._on_opened)
        self._opening.busy_changed.connect(self._on_busy_changed)

        # magicgui types this as its base class, which knows nothing of choices.
        self._combo = cast(
            "Any",
            create_widget(
                annotation=Image, name="ct", options={"choices": self._choices, "nullable": True}
            ),
        )
        self._combo.tooltip = "The CT that is explained. Any image layer of the viewer can be."
        self._combo.changed.connect(self._on_chosen)
        self._combo.native.setMinimumWidth(140)

        self._open = QPushButton()
        self._open.setText("Open CT…")
        self._open.setToolTip(
            "Open CTs or masks (DICOM, NIfTI, NRRD, MetaImage, npz), placed in patient mm."
        )
        menu = QMenu(self._open)
        menu.addAction("Files, or a zip of a series…", self._ask_files)
        menu.addAction("DICOM folder…", self._ask_folder)
        self._open.setMenu(menu)

        self._geometry = QPushButton("Geometry…")
        self._geometry.setToolTip("How the chosen CT lies in the patient, and what was done to it.")
        self._geometry.clicked.connect(self.show_geometry)

        self._doubt = QLabel()
        self._doubt.setWordWrap(True)
        self._doubt.hide()

        row = QHBoxLayout()
        row.addWidget(self._combo.native, 1)
        row.addWidget(self._geometry)
        row.addWidget(self._open)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 4)
        layout.addLayout(row)
        layout.addWidget(self._doubt)

        self.events = ViewerEvents()
        events = viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered, events.renamed):
            self.events.connect(emitter, self._on_layers_changed)
        self._combo.reset_choices()
        self._geometry.setEnabled(False)
        choices = self.choices()
        if choices:
            active = viewer.layers.selection.active
            self._combo.value = active if active in choices else choices[-1]
            self.show_doubt()

    @property
    def layer(self) -> Image | None:
        """The chosen layer."""
        layer: Image | None = self._combo.value
        return layer

    @property
    def busy(self) -> bool:
        """True while a CT is being read."""
        return self._opening.busy

    def choose(self, layer: Image) -> None:
        """Choose a layer of the viewer."""
        self._combo.reset_choices()
        self._combo.value = layer

    def open_path(self, path: Path) -> None:
        """Read a CT in a thread and add it to the viewer as the chosen one."""
        self._opening.open([path])

    def abandon(self) -> None:
        """Hear no more of what is opened; that goes on, being the viewer's."""
        self._opening.opened.disconnect(self._on_opened)
        self._opening.busy_changed.disconnect(self._on_busy_changed)

    def show_geometry(self) -> None:
        """Show the geometry report of the chosen CT."""
        if self.layer is None:
            return
        try:
            volume = volume_from_layer(self.layer)
        except HirescamError as error:
            tell_error(error)
            return
        show_report(volume, self.window())

    def _choices(self, _combo: object) -> list[Image]:
        return self.choices()

    def choices(self) -> list[Image]:
        """Image layers that can be explained: all but maps and second views."""
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Image) and not is_map_or_copy(layer)
        ]

    def _on_layers_changed(self, event: Event) -> None:
        chosen = self.layer
        if event.type == "inserted" and is_ct_of_ours(event.value):
            widen_contrast_range(event.value)
            # Whoever opens a CT means to work on it.
            chosen = event.value
            # napari moves the camera to the first layer only.
            if len(self.choices()) > 1:
                self.opened.emit(chosen)
        self._combo.reset_choices()
        # The combo box finds its choice again by name, and so loses a layer that was renamed.
        if chosen is not None and chosen is not self.layer and chosen in self._viewer.layers:
            self._combo.value = chosen

    def _on_chosen(self, _layer: Image | None) -> None:
        self._geometry.setEnabled(self.layer is not None)
        self.show_doubt()
        self.changed.emit()

    def show_doubt(self) -> None:
        """Say if it is not sure where the chosen CT lies."""
        doubt = placement_doubt(self.layer) if self.layer is not None else ""
        self._doubt.setText(doubt)
        self._doubt.setVisible(bool(doubt))

    def _on_opened(self, layer: Layer) -> None:
        if isinstance(layer, Image) and layer in self._viewer.layers:
            self.choose(layer)

    def _on_busy_changed(self) -> None:
        self.busy_changed.emit()

    def _ask_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Open CTs or masks", "", _FILES)
        if names:
            self._opening.open(names)

    def _ask_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a folder of DICOM slices")
        if name:
            self._opening.open([name])
