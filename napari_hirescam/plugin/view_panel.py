"""The panel of the view tools: what is written on the canvas, and the grey window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_hirescam.ct_windows import PRESETS
from napari_hirescam.plugin.grey_windows import AUTOMATIC, CHEST, words
from napari_hirescam.plugin.view_preferences import view_preferences
from napari_hirescam.plugin.view_tools import COPY_KEY, FILE_KEY, PRESET_KEYS
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari_hirescam.plugin.view_tools import ViewTools
    from napari_hirescam.source import DisplayWindow

_DRAG_TIP = (
    "Over the picture, drag with Ctrl and the left button, or with the middle button: to the "
    "right widens the window, downwards raises its centre."
)
#: Names of the preferences that the check boxes keep.
_SWITCHES = ("letters", "readout", "link_windows")


class ViewPanel(QWidget):
    """Letters, readout and linked windows on or off; presets; how CTs open.

    Parameters
    ----------
    tools
        What is set here.
    """

    #: The grey window on show is another one.
    window_changed = Signal()

    def __init__(self, tools: ViewTools, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tools = tools
        self.letters = QCheckBox("Letters")
        self.letters.setToolTip("Write at the edges which side of the patient lies there.")
        self.readout = QCheckBox("Readout")
        self.readout.setToolTip(
            "Write HU, attention, organ, patient mm and voxel under the cursor into the corner; "
            f"{COPY_KEY} copies them."
        )
        self.link_windows = QCheckBox("Link CTs")
        self.link_windows.setToolTip("A grey window that is set on one CT is set on all.")
        self.presets = QPushButton("Grey window")
        self.presets.setToolTip(_DRAG_TIP)
        self._menu = QMenu(self.presets)
        self._menu.aboutToShow.connect(self._fill_menu)
        self.presets.setMenu(self._menu)
        self._words = QLabel()
        switches, window, layout = QHBoxLayout(), QHBoxLayout(), QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 4)
        for box in (self.letters, self.readout, self.link_windows):
            switches.addWidget(box)
        switches.addStretch(1)
        window.addWidget(self.presets)
        window.addWidget(self._words, 1)
        layout.addLayout(window)
        layout.addLayout(switches)
        preferences = view_preferences()
        for name in _SWITCHES:
            switch: QCheckBox = getattr(self, name)
            switch.setChecked(bool(getattr(preferences, name, True)))
            switch.toggled.connect(self._on_switched)
        self.events = ViewerEvents()
        self.events.connect(tools.windows.changed, self._refresh)
        self._apply()
        self._refresh()

    @property
    def window_text(self) -> str:
        """The window on show, in words; "" without a CT."""
        return str(self._words.text())

    def _apply(self) -> None:
        self._tools.letters.on = self.letters.isChecked()
        self._tools.readout.on = self.readout.isChecked()
        self._tools.windows.linked = self.link_windows.isChecked()

    def _on_switched(self, _on: bool) -> None:  # noqa: FBT001 - Qt's slot
        self._apply()
        preferences = view_preferences()
        if preferences is not None:
            for name in _SWITCHES:
                setattr(preferences, name, getattr(self, name).isChecked())

    def _refresh(self) -> None:
        window = self._tools.windows.window
        self.presets.setEnabled(window is not None)
        self._words.setText(words(window) if window is not None else "")
        why = "Chosen by what is in the CT: it shows lung and mediastinum at once."
        self._words.setToolTip(why if window == CHEST else _DRAG_TIP)
        self.window_changed.emit()

    def _fill_menu(self) -> None:
        """List presets with their keys, the windows of the file, and how CTs open."""
        self._menu.clear()
        for key, name in PRESET_KEYS.items():
            self._add(PRESETS[name], key)
        self._add(CHEST)
        asked = self._tools.windows.of_file
        if asked:
            self._menu.addSeparator()
            for k, window in enumerate(asked, 1):
                self._add(window, FILE_KEY if k == 1 else "", f"of the file: {words(window)}")
        preferences = view_preferences()
        if preferences is None:
            return
        self._menu.addSeparator()
        opens = self._menu.addMenu("CTs open in")
        titles = {AUTOMATIC: "what the file asks for, else by content"}
        for name in (AUTOMATIC, *PRESETS):
            action = opens.addAction(titles.get(name) or PRESETS[name].name)
            action.setCheckable(True)
            action.setChecked(preferences.grey_window == name)
            action.triggered.connect(lambda _on=False, name=name: self._prefer(name))

    def _add(self, window: DisplayWindow, key: str = "", title: str = "") -> None:
        text = f"{title or words(window)}\t{key}"  # what follows a tab stands at the right
        action = self._menu.addAction(text)
        action.triggered.connect(lambda _on=False: self._tools.windows.choose(window))

    def _prefer(self, name: str) -> None:
        preferences = view_preferences()
        if preferences is not None:
            preferences.grey_window = name
            show_info("The next CT opens so; with linked CTs, the first one does.")
