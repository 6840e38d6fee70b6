"""HiResCAM attention for CT classifiers: readers, engine and napari plugin.

The names below are imported when first used, so that importing the package stays cheap:

>>> from napari_hirescam import read_volume, load_model, explain  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hirescam.attention import AttentionMap, Explanation, explain
    from napari_hirescam.io import read_volume
    from napari_hirescam.models import load_model
    from napari_hirescam.volume import Volume

__version__ = "0.1.0"

_HOME = {
    "AttentionMap": "napari_hirescam.attention",
    "Explanation": "napari_hirescam.attention",
    "Volume": "napari_hirescam.volume",
    "explain": "napari_hirescam.attention",
    "load_model": "napari_hirescam.models",
    "read_volume": "napari_hirescam.io",
}

__all__ = ["AttentionMap", "Explanation", "Volume", "explain", "load_model", "read_volume"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
