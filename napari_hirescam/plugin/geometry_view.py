"""The geometry report in a window: how a scan lies in the patient and what was done to it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.errors import HirescamError
from napari_hirescam.geometry_report import geometry_report, report_as_text
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop, tell_error
from napari_hirescam.source import Fact

if TYPE_CHECKING:
    from napari_hirescam.volume import Volume

_REMARK_COLOUR = "#e0a030"  # amber: told apart on napari's dark and light themes
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
        self.text = QTextBrowser()
        self.text.setOpenLinks(False)

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
        layout.addWidget(self.text, 1)
        layout.addWidget(self.identify)
        layout.addWidget(buttons)
        self._fill()
        self.resize(720, 640)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The rows that are shown."""
        return self._facts + self._private

    def copy(self) -> None:
        """Put what is shown on the clipboard."""
        QApplication.clipboard().setText(report_as_text(self._title, self.facts))

    def _fill(self) -> None:
        place = self.text.verticalScrollBar().value()
        self.text.setHtml(_as_html(self.facts))
        self.text.verticalScrollBar().setValue(place)

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
        bar = self.text.verticalScrollBar()
        bar.setValue(bar.maximum())

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


def _as_html(facts: Sequence[Fact]) -> str:
    """Lay rows out as a table: a section after the other, remarks in a line of their own."""
    rows: list[str] = []
    for section, inside in itertools.groupby(facts, key=lambda fact: fact.section):
        rows.append(
            f'<tr><td colspan="2" style="padding-top: 10px"><b>{escape(section)}</b></td></tr>'
        )
        for fact in inside:
            value = escape(fact.value)
            if fact.remark:
                value += (
                    f'<br><span style="color: {_REMARK_COLOUR}">\u25b2 {escape(fact.remark)}</span>'
                )
            rows.append(
                f'<tr><td style="padding-left: 12px; padding-right: 18px">{escape(fact.name)}</td>'
                f"<td>{value}</td></tr>"
            )
    return f'<table cellpadding="1" width="100%">{"".join(rows)}</table>'
