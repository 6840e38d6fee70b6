"""The dock widget's panels, stacked in one column of sections; what they do is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPoint, QSize, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_hirescam.plugin.attention_view import AttentionView
from napari_hirescam.plugin.compute_panel import ComputePanel
from napari_hirescam.plugin.ct_panel import CtPanel
from napari_hirescam.plugin.display_panel import DisplayPanel
from napari_hirescam.plugin.explanation_test_panel import ExplanationTestPanel
from napari_hirescam.plugin.label_model import LabelTableModel
from napari_hirescam.plugin.labels_panel import LabelsPanel
from napari_hirescam.plugin.map_layers import MapLayers
from napari_hirescam.plugin.map_style import MapKey
from napari_hirescam.plugin.model_panel import ModelPanel
from napari_hirescam.plugin.organs_panel import OrgansPanel
from napari_hirescam.plugin.readout_lines import shown_maps
from napari_hirescam.plugin.run_panel import RunPanel
from napari_hirescam.plugin.saving import MapSaver
from napari_hirescam.plugin.section import Section, scrolled_column
from napari_hirescam.plugin.sweep_panel import SweepPanel
from napari_hirescam.plugin.view_panel import ViewPanel
from napari_hirescam.plugin.view_tools import view_tools_of
from napari_hirescam.plugin.viewer_events import ViewerEvents
from napari_hirescam.plugin.window_panel import WindowPanel

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hirescam.attention.result import Explanation
    from napari_hirescam.plugin.run_record import RunRecord

_WIDTH = 390
# Pixels left above and below what is scrolled to.
_TITLE, _MARGIN = 34, 6


class Panels(QWidget):
    """Every panel, and what the viewer shows; the parts know nothing of each other.

    Parameters
    ----------
    viewer
        The viewer CTs are taken from and maps are shown in.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.labels = LabelTableModel(self._colour_of)
        self.ct = CtPanel(viewer)
        self.model = ModelPanel()
        self.run_panel = RunPanel()
        self.labels_panel = LabelsPanel(self.labels)
        self.display = DisplayPanel()
        self.compute = ComputePanel()
        self.view = AttentionView(
            viewer, self.display, lambda: self.labels.ticked, self._on_map_deleted, self
        )
        self.tools = view_tools_of(viewer)
        self.view_panel = ViewPanel(self.tools)
        self.window_panel = WindowPanel(viewer)
        self.sweep = SweepPanel(viewer, self.window_panel.box)
        self.organs = OrgansPanel(viewer)
        self.test = ExplanationTestPanel()
        self.saver = MapSaver(self)
        self.sections = {
            "ct": Section("CT", self.ct),
            "view": Section(
                "View", self.view_panel, unfolded=False, tip="Letters, readout and grey window."
            ),
            "model": Section("Model", self.model),
            "window": Section(
                "Window", self.window_panel, tip="The part of the CT that the model sees."
            ),
            "labels": Section("Labels", self.labels_panel),
            "display": Section("Attention maps", self.display),
            "organs": Section(
                "Organs",
                self.organs,
                unfolded=False,
                tip="Find organs or take masks, and measure how much of the maps lies in them.",
            ),
            "search": Section(
                "Search the CT",
                self.sweep,
                unfolded=False,
                tip="Score the window everywhere, and list where the model finds something.",
            ),
            "test": Section(
                "Test the explanation",
                self.test,
                unfolded=False,
                tip="Does the score follow where the map points, and the map what was learned?",
            ),
            "advanced": Section(
                "Advanced", self.compute, unfolded=False, tip="Where the network is computed."
            ),
        }
        self.sections["advanced"].folded.connect(self._on_advanced_folded)
        self.view_panel.window_changed.connect(self._summarise_view)
        self._summarise_view()
        self.tools.take(id(self), lambda: shown_maps(self.view))
        self.labels_panel.named.connect(self.sections["labels"].set_title)
        parts: list[QWidget] = list(self.sections.values())
        parts.insert(4, self.run_panel)
        self.show_window(needed=False)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        self._column = scrolled_column(parts, stretched=self.sections["labels"])
        whole.addWidget(self._column)
        # What is found stands below panels that have taken the room.
        self._found: QWidget = self.sweep.table
        self._show_found_soon = QTimer(self)
        self._show_found_soon.setSingleShot(True)
        self._show_found_soon.setInterval(50)  # tables and plots take their room by then
        self._show_found_soon.timeout.connect(self._show_found)
        self.sweep.found.connect(self._on_hits)
        self.test.busy_changed.connect(self._on_finding)
        self.setMinimumWidth(330)

    @property
    def explanation(self) -> Explanation | None:
        """What is shown."""
        return self.view.explanation

    @property
    def record(self) -> RunRecord | None:
        """What the shown explanation is of."""
        return self.view.record

    @property
    def maps(self) -> MapLayers:
        """The map layers."""
        return self.view.maps

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Ask for a width in which nothing is cut."""
        return QSize(_WIDTH, 720)

    def summarise(self) -> None:
        """Name CT and model in the titles, for when their sections are folded."""
        layer, classifier = self.ct.layer, self.model.classifier
        self.sections["ct"].set_summary(layer.name if layer is not None else "")
        self.sections["model"].set_summary(classifier.spec.name if classifier is not None else "")

    def _summarise_view(self) -> None:
        self.sections["view"].set_summary(self.view_panel.window_text)

    def show_window(self, *, needed: bool) -> None:
        """Show what only a model that sees a part of the CT has a use for."""
        for name in ("window", "search"):
            self.sections[name].setVisible(needed)

    def viewer_events(self) -> list[ViewerEvents]:
        """Every connection to the viewer, to be ended with the widget."""
        return [
            self.ct.events,
            self.view_panel.events,
            *self.window_panel.all_events(),
            self.sweep.layers.events,
            self.organs.events,
            *self.view.all_events(),
        ]

    def _on_hits(self) -> None:
        self._found = self.sweep.table
        self._show_found_soon.start()

    def _on_finding(self) -> None:
        if self.test.job is None and self.test.finding is not None:
            self._found = self.test
            self._show_found_soon.start()

    def _show_found(self) -> None:
        """Scroll down to what was found: to its end, or, where it is longer, to its beginning."""
        content = self._column.widget()
        if content is None:  # the window is closing
            return
        top = self._found.mapTo(content, QPoint(0, 0)).y()
        room, bar = self._column.viewport().height(), self._column.verticalScrollBar()
        wanted = min(top - _TITLE, top + self._found.height() - room + _MARGIN)
        bar.setValue(max(bar.value(), wanted))

    def _colour_of(self, label: str) -> str | None:
        return self.maps.colour_of(label)

    def _on_map_deleted(self, key: MapKey) -> None:
        self.labels.untick(key.label)

    def _on_advanced_folded(self, folded: bool) -> None:  # noqa: FBT001 - Qt's slot
        if not folded:
            self.compute.look_up()
