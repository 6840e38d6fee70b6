"""What an edit took away and what it added, in colour and in figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_hirescam.plugin.ct_layers import AXIS_LABELS, UNITS
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop
from napari_hirescam.plugin.reviewing.editable_mask import DIFFERENCE_KIND, review_metadata
from napari_hirescam.review.comparing import ADDED, BOTH, REMOVED

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hirescam.errors import HirescamError
    from napari_hirescam.plugin.reviewing.editable_mask import EditableMask
    from napari_hirescam.plugin.reviewing.open_edit import EditSubject
    from napari_hirescam.review.comparing import Comparison

# Told apart by the colour-blind, too (Okabe and Ito's vermilion, blue and yellow).
_NAMES = {REMOVED: "removed", ADDED: "added", BOTH: "both"}
_COLOURS = {REMOVED: "#d55e00", ADDED: "#56b4e9", BOTH: "#f0e442"}
_TOLERANCE_MM = 2.0


class Comparing(QObject):
    """Compares an edited mask with the one that was made, in a thread.

    Parameters
    ----------
    parent
        The widget that shows it.
    """

    #: Carries the labels of the difference.
    labelled = Signal(object)
    #: Carries the :class:`Comparison`.
    compared = Signal(object)
    #: Carries a HirescamError.
    failed = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)

    @property
    def busy(self) -> bool:
        """True while a comparison goes on."""
        return self._current.job is not None

    def start(self, made: npt.NDArray[Any], edited: npt.NDArray[Any], subject: EditSubject) -> None:
        """Label the differences, then measure them; what went on before is dropped."""
        from napari_hirescam.review.comparing import difference_labels

        self._current.abandon()

        def label(_progress: Progress, _should_stop: ShouldStop) -> npt.NDArray[np.uint8]:
            return difference_labels(made, edited)

        job = self._current.job = Job(label, subject.words, doing="comparing two masks")
        job.succeeded.connect(self.labelled)
        job.succeeded.connect(lambda _labels: self._measure(made, edited, subject))
        job.failed.connect(self._on_failed)
        job.start()

    def abandon(self) -> None:
        """Compare no more, and report nothing."""
        self._current.abandon()

    def _measure(
        self, made: npt.NDArray[Any], edited: npt.NDArray[Any], subject: EditSubject
    ) -> None:
        from napari_hirescam.review.comparing import compare_masks

        spacing = subject.loaded.ct.spacing_mm

        def measure(_progress: Progress, should_stop: ShouldStop) -> Comparison:
            return compare_masks(
                made, edited, spacing, tolerance_mm=_TOLERANCE_MM, should_stop=should_stop
            )

        job = self._current.job = Job(measure, subject.words, doing="comparing two masks")
        job.succeeded.connect(self.compared)
        job.failed.connect(self._on_failed)
        job.ended.connect(self._on_ended)
        job.start()

    def _on_failed(self, error: HirescamError) -> None:
        self._current.job = None
        self.failed.emit(error)

    def _on_ended(self) -> None:
        self._current.job = None


class DifferenceView(QWidget):
    """Shows the difference as a layer with a legend, and its figures in a line.

    Parameters
    ----------
    viewer
        Gets the layer.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Labels | None = None
        self._edited: EditableMask | None = None
        self._subject: EditSubject | None = None
        self.comparing = Comparing(self)
        self.comparing.labelled.connect(self._on_labelled)
        self.comparing.compared.connect(self._on_compared)
        self.comparing.failed.connect(self._on_failed)
        self.button = QPushButton("Difference")
        self.button.setCheckable(True)
        self.button.setToolTip("Show what was removed and what was added, in colour (D)")
        self.button.toggled.connect(self._on_toggled)
        legend = " ".join(
            f'<span style="color:{colour}">■</span>&nbsp;{_NAMES[value]}'
            for value, colour in _COLOURS.items()
        )
        self.legend = QLabel(legend)
        self.legend.hide()
        self.figures = QLabel()
        self.figures.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.button)
        row.addWidget(self.legend, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(self.figures)

    @property
    def layer(self) -> Labels | None:
        """The layer of the difference, while it is shown."""
        return self._layer

    def set_edit(self, edited: EditableMask | None, subject: EditSubject | None) -> None:
        """Compare this mask from now on; None ends it and takes the layer away."""
        self.comparing.abandon()
        if self._edited is not None:
            self._edited.events.edited.disconnect(self._on_edited)
        self._edited = self._subject = None
        self.button.setChecked(False)
        self.figures.clear()
        if edited is not None:
            self._edited, self._subject = edited, subject
            edited.events.edited.connect(self._on_edited)

    def _on_toggled(self, shown: bool) -> None:  # noqa: FBT001 - Qt's slot
        self.legend.setVisible(shown)
        if self._edited is not None:
            self._edited.contour = int(shown)  # its own colour would mix with the difference's
        if shown and self._edited is not None and self._subject is not None:
            self.figures.setText("Comparing ...")
            made = made_mask(self._subject)
            self.comparing.start(made, self._edited.data.copy(), self._subject)
            return
        self.comparing.abandon()
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _on_labelled(self, labels: npt.NDArray[np.uint8]) -> None:
        if self._edited is None or not self.button.isChecked():
            return
        active = self._viewer.layers.selection.active
        self._layer = Labels(
            labels,
            name="difference",
            scale=self._edited.scale,
            translate=self._edited.translate,
            units=UNITS,
            axis_labels=AXIS_LABELS,
            metadata=review_metadata(DIFFERENCE_KIND),
            colormap=dict[int | None, str]({None: "transparent", 0: "transparent"}) | _COLOURS,
            features={"index": [0, *_NAMES], "name": ["", *_NAMES.values()]},
            opacity=0.5,
        )
        self._layer.editable = False
        self._viewer.add_layer(self._layer)
        self._viewer.layers.selection.active = active  # what is painted on stays chosen

    def _on_compared(self, comparison: Comparison) -> None:
        self.figures.setText(words(comparison))

    def _on_failed(self, error: HirescamError) -> None:
        self.figures.setText(str(error))

    def _on_edited(self) -> None:
        # Colours of what was there before would mislead.
        if self.button.isChecked():
            self.button.setChecked(False)
        self.figures.clear()


def made_mask(subject: EditSubject) -> npt.NDArray[np.bool_]:
    """The mask that is judged, or an empty one where there is none."""
    made = subject.loaded.mask
    return np.zeros(subject.loaded.ct.voxels.shape, bool) if made is None else made


def words(comparison: Comparison) -> str:
    """Write a comparison in a line."""
    distance = "none" if math.isnan(comparison.hd95_mm) else f"{comparison.hd95_mm:.1f} mm"
    return (
        f"Dice {comparison.dice:.3f}, surface Dice ({comparison.tolerance_mm:g} mm) "
        f"{comparison.surface_dice:.3f}, HD95 {distance}; {comparison.volume_a_ml:.1f} mL before, "
        f"{comparison.volume_b_ml:.1f} mL now ({comparison.added_ml:.1f} mL added, "
        f"{comparison.removed_ml:.1f} mL removed)"
    )
