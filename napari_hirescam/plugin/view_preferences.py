"""What napari's preferences say of this plugin's view."""

from __future__ import annotations

from typing import Any

from napari.settings import get_plugin_settings

from napari_hirescam.plugin.grey_windows import AUTOMATIC


def view_preferences() -> Any:
    """Return the preferences, which are kept when they are set.

    None where the package is not installed as a plugin, but used from a script say.
    """
    try:
        return get_plugin_settings("napari-hirescam").view
    except KeyError:
        return None


def preferred_window() -> str:
    """Name the preset that CTs are to open in, or :data:`AUTOMATIC`."""
    preferences = view_preferences()
    return AUTOMATIC if preferences is None else str(preferences.grey_window)
