"""The grey window of the CTs of one viewer, shared by all of them while they are linked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from psygnal import Signal

from napari_hirescam.ct_windows import PRESETS
from napari_hirescam.plugin.canvas_text import CanvasText
from napari_hirescam.plugin.ct_layers import SOURCE_KEY
from napari_hirescam.plugin.grey_windows import (
    ends_of,
    usable_windows,
    window_between,
    words,
)
from napari_hirescam.source import DisplayWindow, Source

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hirescam.plugin.patient_layers import PatientLayers

_POINTS = 9.0


class LinkedWindows:
    """Reads and sets the grey window; keeps the CTs' alike while they are linked.

    Only CTs in HU that this plugin opened take part.

    Parameters
    ----------
    viewer
        On whose canvas the window is written.
    layers
        Tells the CTs and their changes.
    linked
        Whether a window that is set on one CT is set on all, from the start.
    """

    #: The window on show is another, or that of another CT.
    changed = Signal()

    def __init__(self, viewer: ViewerModel, layers: PatientLayers, *, linked: bool = True) -> None:
        self._layers = layers
        self._linked, self._spreading = linked, False
        self._text = CanvasText(viewer, "grey_window", "bottom_right", points=_POINTS)
        layers.changed.connect(self._on_layers_changed)
        layers.ct_opened.connect(self._on_opened)
        layers.window_changed.connect(self._on_window_changed)
        self._align()
        self._on_layers_changed()

    @property
    def linked(self) -> bool:
        """Whether a window that is set on one CT is set on all."""
        return self._linked

    @linked.setter
    def linked(self, value: bool) -> None:
        self._linked = value
        self._align()

    @property
    def ct(self) -> Image | None:
        """The CT whose window is told and set."""
        return self._layers.shown_ct

    @property
    def window(self) -> DisplayWindow | None:
        """The window of the CT on show."""
        ct = self.ct
        if ct is None:
            return None
        low, high = ct.contrast_limits
        return window_between(low, high, self.of_file)

    @property
    def of_file(self) -> tuple[DisplayWindow, ...]:
        """The windows that the file of the CT on show asks for."""
        source = self.ct.metadata.get(SOURCE_KEY) if self.ct is not None else None
        return usable_windows(source.windows) if isinstance(source, Source) else ()

    def choose(self, window: DisplayWindow) -> bool:
        """Set a window on the CT on show and on those linked with it; False if there is none."""
        ct = self.ct
        if ct is None:
            return False
        _set(ct, *ends_of(window))
        return True

    def choose_preset(self, key: str) -> bool:
        """Set one of :data:`PRESETS`; False if there is no CT."""
        return self.choose(PRESETS[key])

    def choose_next_of_file(self) -> bool:
        """Set the first window of the file, or the one after the present; False if none."""
        asked = self.of_file
        if not asked:
            return False
        now = self.window
        k = asked.index(now) + 1 if now in asked else 0
        return self.choose(asked[k % len(asked)])

    def remove(self) -> None:
        """Take the text off the canvas."""
        self._text.remove()

    def _align(self) -> None:
        if self._linked and self.ct is not None:
            self._spread(self.ct)

    def _spread(self, ct: Image) -> None:
        """Set one CT's window on all others."""
        self._spreading = True
        try:
            for other in self._layers.cts:
                if other is not ct:
                    _set(other, *ct.contrast_limits)
        finally:
            self._spreading = False

    def _on_opened(self, ct: Image) -> None:
        others = [other for other in self._layers.cts if other is not ct]
        if self._linked and others:
            _set(ct, *others[-1].contrast_limits)

    def _on_window_changed(self, ct: Image) -> None:
        if self._spreading:
            return
        if self._linked:
            self._spread(ct)
        self._on_layers_changed()

    def _on_layers_changed(self) -> None:
        window = self.window
        self._text.write(words(window) if window is not None else "")
        self.changed.emit()


def _set(ct: Image, low: float, high: float) -> None:
    if [low, high] != list(ct.contrast_limits):  # napari widens the slider where it must
        ct.contrast_limits = (low, high)
