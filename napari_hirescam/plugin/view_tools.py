"""What a radiologist expects of a picture, once per viewer: letters, readout, grey window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from napari.utils.notifications import show_info

from napari_hirescam.ct_windows import PRESETS
from napari_hirescam.plugin.linked_windows import LinkedWindows
from napari_hirescam.plugin.orientation_letters import OrientationLetters
from napari_hirescam.plugin.patient_layers import PatientLayers
from napari_hirescam.plugin.readout import Readout
from napari_hirescam.plugin.readout_lines import ShownMap
from napari_hirescam.plugin.view_preferences import view_preferences
from napari_hirescam.plugin.window_drag import WindowDrag

if TYPE_CHECKING:
    from napari.components import ViewerModel

#: Function keys, since napari and its layers use the letters and digits.
PRESET_KEYS = dict(zip(("F2", "F3", "F4", "F5", "F6", "F7"), PRESETS, strict=True))
FILE_KEY = "F8"
COPY_KEY = "F9"

_NO_CT = "There is no CT in HU on show that HiResCAM opened."

# A viewer's tools live as long as one of its widgets holds them.
_TOOLS: WeakValueDictionary[int, ViewTools] = WeakValueDictionary()


class ViewTools:
    """The tools of one viewer; two widgets in it share them.

    Use :func:`view_tools_of` and, when the last widget goes, :meth:`release`.

    Parameters
    ----------
    viewer
        What they are for.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._users: dict[int, Callable[[], list[ShownMap]]] = {}
        self.layers = PatientLayers(viewer)
        self.letters = OrientationLetters(viewer, self.layers)
        linked = bool(getattr(view_preferences(), "link_windows", True))
        self.windows = LinkedWindows(viewer, self.layers, linked=linked)
        self.readout = Readout(viewer, self._maps)
        self.drag = WindowDrag(viewer, self.windows)
        self._keys: dict[str, Callable[[ViewerModel], None]] = {}
        for key, preset in PRESET_KEYS.items():
            self._bind(key, self._chooser_of(preset))
        self._bind(FILE_KEY, self._choose_of_file)
        self._bind(COPY_KEY, self._copy)

    def take(self, user: int, maps: Callable[[], list[ShownMap]]) -> None:
        """Count a widget in by its `id`, and read its maps."""
        self._users[user] = maps

    def release(self, user: int, *, erase: bool = True) -> None:
        """Count a widget out; after the last, leave the viewer as it was.

        Where the window itself is closing, `erase` must be False: its canvas may be gone.
        """
        if self._users.pop(user, None) is None or self._users:
            return
        if _TOOLS.get(id(self._viewer)) is self:
            del _TOOLS[id(self._viewer)]
        for part in (self.layers, self.letters, self.readout, self.drag):
            part.leave()
        for key, function in self._keys.items():
            if self._viewer.keymap.get(_binding(key)) == function:
                self._viewer.bind_key(key, None)
        self._keys.clear()
        if erase:
            for text in (self.letters, self.windows, self.readout):
                text.remove()

    def _maps(self) -> list[ShownMap]:
        return [shown for maps in self._users.values() for shown in maps()]

    def _bind(self, key: str, function: Callable[[ViewerModel], None]) -> None:
        """Bind a key of the viewer that the user has not bound."""
        if _binding(key) not in self._viewer.keymap:
            self._viewer.bind_key(key, function)
            self._keys[key] = function

    def _chooser_of(self, preset: str) -> Callable[[ViewerModel], None]:
        def choose(_viewer: ViewerModel) -> None:
            if not self.windows.choose_preset(preset):
                show_info(_NO_CT)

        return choose  # not a partial: napari asks the functions of keys for their names

    def _choose_of_file(self, _viewer: ViewerModel) -> None:
        if not self.windows.choose_next_of_file():
            show_info("The CT's file asks for no grey window." if self.windows.ct else _NO_CT)

    def _copy(self, _viewer: ViewerModel) -> None:
        if self.readout.copy():
            show_info("Copied what is under the cursor.")
        else:
            show_info("Nothing to copy: move the mouse over a CT that HiResCAM opened.")


def view_tools_of(viewer: ViewerModel) -> ViewTools:
    """Return a viewer's tools, made if no widget has them yet."""
    tools = _TOOLS.get(id(viewer))
    if tools is None:
        tools = _TOOLS[id(viewer)] = ViewTools(viewer)
    return tools


def _binding(key: str) -> object:
    from app_model.types import KeyBinding

    return KeyBinding.from_str(key)
