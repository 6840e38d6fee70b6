"""Which CT is explained: a choice among the viewer's layers, and opening another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from magicgui.widgets import create_widget
from napari.layers import Image
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
    layer_from_volume,
    placement_doubt,
    widen_contrast_range,
)
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop, tell_error
from napari_hirescam.plugin.reader import show_notes
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.volume import Volume

_FILES = "CT volumes (*.nii *.nii.gz *.dcm);;All files (*)"


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
    progressed = Signal(str, int, int)
    busy_changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)

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
        self._open.setToolTip("Open a NIfTI file or a DICOM series, placed in patient mm.")
        menu = QMenu(self._open)
        menu.addAction("File…", self._ask_file)
        menu.addAction("DICOM folder…", self._ask_folder)
        self._open.setMenu(menu)

        self._doubt = QLabel()
        self._doubt.setWordWrap(True)
        self._doubt.hide()

        row = QHBoxLayout()
        row.addWidget(self._combo.native, 1)
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
        return self._current.job is not None

    def choose(self, layer: Image) -> None:
        """Choose a layer of the viewer."""
        self._combo.reset_choices()
        self._combo.value = layer

    def open_path(self, path: Path) -> None:
        """Read a CT in a thread and add it to the viewer as the chosen one."""
        if self._current.job is not None:
            return

        def read(progress: Progress, should_stop: ShouldStop) -> Volume:
            from napari_hirescam.io import read_volume

            return read_volume(path, progress=progress, should_stop=should_stop)

        self._current.job = Job(read, subject=path.name)
        self._current.job.progressed.connect(self._on_progress)
        self._current.job.succeeded.connect(self._add)
        self._current.job.failed.connect(self._on_failed)
        self._current.job.ended.connect(self._on_ended)
        self._open.setEnabled(False)
        self.busy_changed.emit()
        self._current.job.start()

    def abandon(self) -> None:
        """Stop what runs and report nothing any more."""
        self._current.abandon()
        self._open.setEnabled(True)

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
        self.show_doubt()
        self.changed.emit()

    def show_doubt(self) -> None:
        """Say if it is not sure where the chosen CT lies."""
        doubt = placement_doubt(self.layer) if self.layer is not None else ""
        self._doubt.setText(doubt)
        self._doubt.setVisible(bool(doubt))

    def _on_progress(self, done: int, total: int) -> None:
        self.progressed.emit("Reading the CT", done, total)

    def _add(self, volume: Volume) -> None:
        voxels, options, kind = layer_from_volume(volume)
        add = self._viewer.add_labels if kind == "labels" else self._viewer.add_image
        layer = add(voxels, **options)
        if isinstance(layer, Image):
            self.choose(layer)
        show_notes(volume.source.notes if volume.source else ())

    def _on_failed(self, error: HirescamError) -> None:
        tell_error(error)

    def _on_ended(self) -> None:
        self._current.job = None
        self._open.setEnabled(True)
        self.busy_changed.emit()

    def _ask_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a CT", "", _FILES)
        if name:
            self.open_path(Path(name))

    def _ask_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a folder of DICOM slices")
        if name:
            self.open_path(Path(name))
