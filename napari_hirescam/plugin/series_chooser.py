"""Choosing among several series, phases, volumes or masks of one path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.errors import HirescamError
from napari_hirescam.geometry_report import times, title_of
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop
from napari_hirescam.plugin.opening_window import pixmap_of

if TYPE_CHECKING:
    from napari_hirescam.io import Item, Picture

_THUMBNAIL = 72  # pixels
_COLUMNS = ("", "No.", "Description", "Kind", "Slices", "Size", "Spacing (mm)", "Kernel", "Remark")
_TITLE_COLUMN = 2
# Facts under the description: so many at most, and none longer than this.
_MORE_FACTS, _LONGEST_FACT = 3, 32
_REMARK_WIDTH = 300  # pixels


class SeriesChooser(QDialog):
    """A table with a picture of each; any number of rows can be opened at once.

    Parameters
    ----------
    path
        What holds them.
    items
        All that is there; what cannot be read is shown with the reason, and cannot be chosen.
    parent
        The window the dialog belongs to.
    """

    #: The worker's: key and picture, or the reason why there is none.
    _pictured = Signal(str, object)

    def __init__(self, path: Path, items: Sequence[Item], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Which one?")
        self._path = path
        self._items = tuple(items)
        self._current = CurrentJob()
        #: True if what was chosen is to become one layer with a time axis.
        self.as_time = False

        n = sum(item.is_readable for item in items)
        intro = QLabel(
            f"<b>{escape(path.name)}</b> holds {len(items)} things, {n} of which can be opened. "
            "Choose one, or several with Ctrl or Shift."
        )
        intro.setWordWrap(True)
        self.table = self._make_table()
        buttons = QDialogButtonBox()
        self._open = buttons.addButton("Open", QDialogButtonBox.ButtonRole.AcceptRole)
        self._open.setDefault(True)
        self._time = QPushButton("Open along a time axis")
        self._time.setToolTip(
            "One layer with a slider over the chosen volumes, or over all if fewer than two are "
            "chosen. They must have the same grid."
        )
        self._time.setAutoDefault(False)
        self._time.clicked.connect(self._open_as_time)
        buttons.addButton(self._time, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(intro)
        layout.addWidget(self.table, 1)
        layout.addWidget(buttons)

        self._pictured.connect(self._show_picture)
        self.destroyed.connect(self._current.abandon)
        self.finished.connect(self._current.abandon)
        self.table.itemSelectionChanged.connect(self._update_buttons)
        self.table.cellDoubleClicked.connect(self._on_double_click)
        self._choose_first()
        self._update_buttons()
        self.resize(self._wanted_size())
        self._start_pictures()

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the chosen items, from the top down."""
        return tuple(item.key for item in self._chosen())

    def choose(self, *keys: str) -> None:
        """Choose the items with these keys, and no others; what cannot be read stays unchosen."""
        self.table.clearSelection()
        for row, item in enumerate(self._items):
            if item.key in keys:
                for column in range(self.table.columnCount()):
                    self._cell(row, column).setSelected(True)

    def accept(self) -> None:
        """Close with what is chosen; without anything chosen, stay."""
        if self._chosen():
            super().accept()

    # -- the table ------------------------------------------------------------------------

    def _make_table(self) -> QTableWidget:
        more = list(_differing_facts(self._items))[:_MORE_FACTS]
        last = len(_COLUMNS) - 1
        table = QTableWidget(len(self._items), len(_COLUMNS))
        table.setHorizontalHeaderLabels(_COLUMNS)
        table.verticalHeader().hide()
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setIconSize(QSize(_THUMBNAIL, _THUMBNAIL))
        table.setTabKeyNavigation(False)  # Tab goes on to the buttons
        table.setWordWrap(True)
        for row, item in enumerate(self._items):
            for column, words in enumerate(_cells(item, more)):
                cell = QTableWidgetItem(words)
                if not item.is_readable:
                    cell.setFlags(Qt.ItemFlag.NoItemFlags)
                cell.setToolTip(_everything(item))
                table.setItem(row, column, cell)
            table.setRowHeight(row, _THUMBNAIL + 6)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Fixed)
        table.setColumnWidth(0, _THUMBNAIL + 10)
        has_remark = any(item.problem for item in self._items)
        stretched = last if has_remark else _TITLE_COLUMN
        header.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
        table.setColumnHidden(last, not has_remark)
        columns = zip(*(_cells(item, more) for item in self._items), strict=True)
        for column, inside in enumerate(columns):
            if 0 < column < last and not any(inside):
                table.setColumnHidden(column, True)
        return table

    def _cell(self, row: int, column: int) -> QTableWidgetItem:
        cell = self.table.item(row, column)
        if cell is None:
            raise IndexError(f"no cell {row}, {column}")
        return cell

    def _wanted_size(self) -> QSize:
        header = self.table.horizontalHeader()
        shown = [c for c in range(header.count()) if not self.table.isColumnHidden(c)]
        width = sum(self.table.sizeHintForColumn(c) + 20 for c in shown) + 40
        if any(item.problem for item in self._items):
            width += _REMARK_WIDTH - self.table.sizeHintForColumn(shown[-1])
        height = len(self._items) * (_THUMBNAIL + 6) + 150
        return QSize(min(max(width, 620), 1200), min(max(height, 260), 720))

    def _choose_first(self) -> None:
        readable = [row for row, item in enumerate(self._items) if item.is_readable]
        # A study's CT before the masks that lie beside it.
        readable.sort(key=lambda row: self._items[row].kind != "CT")
        if readable:
            self.table.setCurrentCell(readable[0], _TITLE_COLUMN)
            self.table.setFocus()

    def _chosen(self) -> list[Item]:
        rows = sorted({index.row() for index in self.table.selectedIndexes()})
        return [self._items[row] for row in rows]

    def _along_time(self) -> list[Item]:
        """The items a time axis would run over; empty if their grids differ."""
        chosen = self._chosen()
        wanted = chosen if len(chosen) > 1 else [item for item in self._items if item.is_readable]
        grids = {(item.kind, item.n_slices, item.size, item.spacing_mm) for item in wanted}
        return wanted if len(wanted) > 1 and len(grids) == 1 else []

    def _update_buttons(self) -> None:
        chosen = self._chosen()
        self._open.setEnabled(bool(chosen))
        self._open.setText(f"Open {len(chosen)}" if len(chosen) > 1 else "Open")
        self._time.setEnabled(bool(self._along_time()))

    def _on_double_click(self, row: int, _column: int) -> None:
        if self._items[row].is_readable:
            self.accept()

    def _open_as_time(self) -> None:
        along = self._along_time()
        if along:
            self.choose(*(item.key for item in along))
            self.as_time = True
            self.accept()

    # -- pictures -------------------------------------------------------------------------

    def _start_pictures(self) -> None:
        path, keys = self._path, [item.key for item in self._items if item.is_readable]
        tell = self._pictured.emit

        def draw(_progress: Progress, should_stop: ShouldStop) -> None:
            from napari_hirescam.io import picture_of

            for key in keys:
                try:
                    picture: Picture | HirescamError = picture_of(
                        path, key, should_stop=should_stop
                    )
                except HirescamError as error:  # of this one; the others may have theirs
                    picture = error
                if should_stop():
                    return
                tell(key, picture)

        self._current.job = Job(draw, subject=path.name)
        self._current.job.start()

    def _show_picture(self, key: str, picture: Picture | HirescamError) -> None:
        row = next(row for row, item in enumerate(self._items) if item.key == key)
        cell = self._cell(row, 0)
        if isinstance(picture, HirescamError):
            cell.setText("no picture")
            cell.setToolTip(str(picture))
        else:
            cell.setIcon(QIcon(pixmap_of(picture, _THUMBNAIL)))


def _cells(item: Item, more: Sequence[str]) -> Iterator[str]:
    yield ""  # the picture
    yield item.number
    facts = (f"{name}: {item.facts[name]}" for name in more if name in item.facts)
    yield "\n".join([item.title, *facts])
    yield item.kind
    yield str(item.n_slices) if item.n_slices else ""
    yield times(item.size) if item.size else ""
    yield times(item.spacing_mm) if item.spacing_mm else ""
    yield item.kernel
    remark = item.problem
    if item.needs:
        offers = " or ".join(title_of(repair).lower() for repair in item.needs)
        remark = f"{remark}. To open it: {offers}."
    yield remark


def _differing_facts(items: Sequence[Item]) -> Iterator[str]:
    """Names of short facts that tell the items apart."""
    for name in dict.fromkeys(name for item in items for name in item.facts):
        values = {item.facts.get(name, "") for item in items}
        if len(values) > 1 and max(map(len, values)) <= _LONGEST_FACT:
            yield name


def _everything(item: Item) -> str:
    facts = [f"{name}: {value}" for name, value in item.facts.items()]
    return "\n".join(words for words in [item.title, *facts, item.problem] if words)
