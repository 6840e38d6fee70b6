"""The geometry report in a window: how a scan lies in the patient and what was done to it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.errors import HirescamError
from napari_hirescam.geometry_report import geometry_report, report_as_text
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop, tell_error
from napari_hirescam.source import Fact

if TYPE_CHECKING:
    from napari_hirescam.volume import Volume

_REMARK_COLOUR = QColor("#e0a030")  # amber: told apart on napari's dark and light themes
_IDENTIFYING = "Identifying tags"


class GeometryView(QDialog):
    """The report of one volume; not modal.

    Parameters
    ----------
    volume
        What is reported on.
    parent
        The window this belongs to.
    """

    def __init__(self, volume: Volume, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Geometry: {volume.name}")
        self._title = volume.name
        self._path = volume.source.path if volume.source is not None else None
        self._facts = geometry_report(volume)
        self._private: tuple[Fact, ...] = ()
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)

        n = sum(bool(fact.remark) for fact in self._facts)
        self._intro = QLabel(
            f"{n} {'line has a remark' if n == 1 else 'lines have remarks'}: please read."
            if n
            else "Nothing unusual was found."
        )
        self.tree = QTreeWidget()
        self.tree.setColumnCount(3)
        self.tree.setHeaderLabels(["", "Value", "Remark"])
        self.tree.setRootIsDecorated(False)
        self.tree.setWordWrap(True)
        self.tree.setSelectionMode(QTreeWidget.SelectionMode.NoSelection)
        self.tree.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.tree.setUniformRowHeights(False)

        self.identify = QCheckBox("Show tags that identify the patient")
        self.identify.setToolTip("Read from the file when ticked. They are never saved.")
        self.identify.toggled.connect(self._on_identify)
        self.identify.setVisible(self._path is not None)
        buttons = QDialogButtonBox()
        copy = buttons.addButton("Copy as text", QDialogButtonBox.ButtonRole.ActionRole)
        copy.clicked.connect(self.copy)
        close = buttons.addButton(QDialogButtonBox.StandardButton.Close)
        close.setDefault(True)
        buttons.rejected.connect(self.close)
        layout = QVBoxLayout(self)
        layout.addWidget(self._intro)
        layout.addWidget(self.tree, 1)
        layout.addWidget(self.identify)
        layout.addWidget(buttons)
        self._fill()
        header = self.tree.header()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        if not n:
            self.tree.setColumnHidden(2, True)
        self.resize(760 if n else 560, 620)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The rows that are shown."""
        return self._facts + self._private

    def copy(self) -> None:
        """Put what is shown on the clipboard."""
        QApplication.clipboard().setText(report_as_text(self._title, self.facts))

    def _fill(self) -> None:
        self.tree.clear()
        for section, rows in itertools.groupby(self.facts, key=lambda fact: fact.section):
            head = QTreeWidgetItem([section])
            font = head.font(0)
            font.setBold(True)
            head.setFont(0, font)
            self.tree.addTopLevelItem(head)
            head.setFirstColumnSpanned(True)
            for fact in rows:
                head.addChild(_row(fact))
            head.setExpanded(True)

    def _on_identify(self, on: bool) -> None:  # noqa: FBT001 - Qt's slot
        self._current.abandon()
        self._private = ()
        if not on or self._path is None:
            self._fill()
            return
        path: Path = self._path

        def read(_progress: Progress, _should_stop: ShouldStop) -> tuple[Fact, ...]:
            from napari_hirescam.io import identifying_facts

            return identifying_facts(path)

        job = Job(read, subject=path.name)
        job.succeeded.connect(self._show_identifying)
        job.failed.connect(self._on_failed)
        self._current.job = job
        job.start()

    def _show_identifying(self, facts: Sequence[Fact]) -> None:
        self._current.job = None
        none = (Fact(_IDENTIFYING, "None", "the file has none"),)
        self._private = tuple(facts) or none
        self._fill()
        self.tree.scrollToBottom()

    def _on_failed(self, error: HirescamError) -> None:
        self._current.job = None
        self.identify.setChecked(False)
        tell_error(error)


def show_report(volume: Volume, parent: QWidget | None) -> GeometryView:
    """Show the report of a volume in a window; one that is open makes room for it."""
    if parent is not None:
        for old in parent.findChildren(GeometryView):
            old.close()
    view = GeometryView(volume, parent)
    view.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    view.show()
    return view


def _row(fact: Fact) -> QTreeWidgetItem:
    row = QTreeWidgetItem([fact.name, fact.value, fact.remark])
    for column in (1, 2):
        row.setToolTip(column, row.text(column))
    for column in range(3):
        row.setTextAlignment(column, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
    if fact.remark:
        for column in (0, 2):
            row.setForeground(column, QBrush(_REMARK_COLOUR))
    return row
