"""What a new review is made of: a table or folder, and what its columns stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.jobs import Progress, ShouldStop
from napari_hirescam.plugin.latest_job import LatestJob
from napari_hirescam.plugin.reviewing.item_page import Notice

if TYPE_CHECKING:
    from napari_hirescam.errors import HirescamError
    from napari_hirescam.review.table_columns import Recognised, Role

_TABLES = "Tables (*.csv *.tsv *.txt *.parquet *.pq);;All files (*)"
_ROLES: dict[Role, tuple[str, str]] = {
    "case": ("Case", "Name of the scan."),
    "patient": ("Patient", "Whose scan; intervals are drawn by it."),
    "ct": ("CT", "File or folder of the CT."),
    "series": ("Series", "Which of several series there."),
    "mask": ("Mask", "File of the mask, or folder of one file for each organ."),
    "organ": ("Organ", "What the mask is of, in tables of one row for each mask."),
    "organ_table": ("Organ table", "Which value is which organ."),
    "attention": ("Map", "File of a ready map of attention."),
    "model": ("Model", "Model folder that makes the map."),
    "label": ("Label", "What the map is of, in tables of one row for each map."),
    "split": ("Split", "Training, validation, test."),
}
_NONE = "–"  # noqa: RUF001 - an en dash stands for none
_ROWS_SHOWN, _PER_LINE = 3, 3
_PREVIEW_HEIGHT = 116


class ReviewSource(QGroupBox):
    """Choose a table or folder; see, and change, what was understood of it."""

    #: Something else is understood by now, or nothing.
    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("What is reviewed", parent)
        self.recognised: Recognised | None = None
        self.path = QLineEdit()
        self.path.setPlaceholderText("table (CSV, TSV, Parquet) or folder of CTs and masks")
        self.path.editingFinished.connect(self._on_path)
        table, folder = QPushButton("Table…"), QPushButton("Folder…")
        table.clicked.connect(self._ask_table)
        folder.clicked.connect(self._ask_folder)
        line = QHBoxLayout()
        line.addWidget(self.path, 1)
        for button in (table, folder):
            button.setAutoDefault(False)
            line.addWidget(button)
        self.notice = Notice()
        self.columns: dict[Role, QComboBox] = {}
        self._columns = QWidget()
        self._grid = QGridLayout(self._columns)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._preview = QTableWidget()
        self._preview.setMaximumHeight(_PREVIEW_HEIGHT)
        self._preview.verticalHeader().hide()
        self._preview.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self._preview.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        layout = QVBoxLayout(self)
        layout.addLayout(line)
        for widget in (self.notice, self._columns, self._preview):
            layout.addWidget(widget)
        self._columns.hide()
        self._preview.hide()
        self._read = ""
        self._job = LatestJob(self)
        self._job.succeeded.connect(self._on_recognised)
        self._job.failed.connect(self._on_failed)

    @property
    def busy(self) -> bool:
        """True while the table is being read."""
        return self._job.busy

    def chosen_columns(self) -> dict[Role, str]:
        """Give role -> heading as they stand in the form; "" where there is none."""
        return {
            role: "" if combo.currentIndex() == 0 else combo.currentText()
            for role, combo in self.columns.items()
        }

    def abandon(self) -> None:
        """Stop reading."""
        self._job.abandon()

    def _on_path(self) -> None:
        text = self.path.text().strip()
        if text and text != self._read:
            self._read = text
            self._ask(None)

    def _on_column(self) -> None:
        self._ask(self.chosen_columns())

    def _ask(self, columns: dict[Role, str] | None) -> None:
        path = Path(self._read).expanduser()
        self.recognised = None
        self.notice.say("Reading …")

        def work(_progress: Progress, _should_stop: ShouldStop) -> Recognised:
            from napari_hirescam.review.table_columns import recognise

            return recognise(path, columns)

        self._job.ask(work, path.name)
        self.changed.emit()

    def _on_recognised(self, recognised: Recognised) -> None:
        self.recognised = recognised
        if recognised.layout == "table":
            words = f"{recognised.n_rows:,} rows."
            self._fill_columns(recognised)
        else:
            found = "; ".join(
                f"{_ROLES[role][0]}: {how}" for role, how in recognised.columns.items()
            )
            words = f"{recognised.n_rows:,} CTs. {found}."
            self.columns = {}
        if recognised.organ_masks:
            words += f" A mask for each of: {', '.join(recognised.organ_masks)}."
        if recognised.label_maps:
            words += f" A map for each of: {', '.join(recognised.label_maps)}."
        if recognised.labels:
            words += f" Findings: {', '.join(recognised.labels)}."
        if recognised.unused:
            words += f" Shown to readers as it is: {', '.join(recognised.unused)}."
        self.notice.say(" ".join([words, *recognised.notes]))
        self._columns.setVisible(bool(self.columns))
        self._fill_preview(recognised)
        self.changed.emit()

    def _on_failed(self, error: HirescamError) -> None:
        self.notice.say(str(error), trouble=True)
        self.changed.emit()

    def _fill_columns(self, recognised: Recognised) -> None:
        if not self.columns:
            for place, (role, (title, tip)) in enumerate(_ROLES.items()):
                combo = self.columns[role] = QComboBox()
                combo.setToolTip(tip)
                combo.setSizeAdjustPolicy(
                    QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
                )
                combo.activated.connect(lambda _index: self._on_column())
                row, column = divmod(place, _PER_LINE)
                self._grid.addWidget(QLabel(title), row, 2 * column)
                self._grid.addWidget(combo, row, 2 * column + 1)
                self._grid.setColumnStretch(2 * column + 1, 1)
        for role, combo in self.columns.items():
            combo.clear()
            combo.addItems([_NONE, *recognised.headings])
            heading = recognised.columns.get(role)
            combo.setCurrentIndex(1 + recognised.headings.index(heading) if heading else 0)

    def _fill_preview(self, recognised: Recognised) -> None:
        rows = recognised.example[:_ROWS_SHOWN]
        headings = list(recognised.headings or (rows[0] if rows else ()))
        self._preview.setVisible(bool(rows))
        self._preview.setColumnCount(len(headings))
        self._preview.setRowCount(len(rows))
        self._preview.setHorizontalHeaderLabels(headings)
        for row, cells in enumerate(rows):
            for column, heading in enumerate(headings):
                text = str(cells.get(heading, ""))
                cell = QTableWidgetItem(text)
                cell.setToolTip(text)
                self._preview.setItem(row, column, cell)

    def _ask_table(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Table of cases", self.path.text(), _TABLES)
        self._take(name)

    def _ask_folder(self) -> None:
        title = "Folder of CTs and masks"
        self._take(QFileDialog.getExistingDirectory(self, title, self.path.text()))

    def _take(self, name: str) -> None:
        if name:
            self.path.setText(name)
            self._on_path()
