"""Connections to a viewer's events that end together."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ViewerEvents:
    """Remembers what was connected, without keeping its owner alive.

    A Qt widget may be deleted while Python still holds it; a viewer event that reached it then
    would fail. Connect ``widget.destroyed`` to :meth:`disconnect` of an instance of this.
    """

    def __init__(self) -> None:
        self._connected: list[tuple[Any, weakref.WeakMethod[Callable[..., None]]]] = []

    def connect(self, emitter: Any, method: Callable[..., None]) -> None:
        """Connect a bound method to an event emitter."""
        emitter.connect(method)
        self._connected.append((emitter, weakref.WeakMethod(method)))

    def disconnect(self) -> None:
        """End every connection."""
        connected, self._connected = self._connected, []
        for emitter, reference in connected:
            method = reference()
            if method is not None:
                emitter.disconnect(method)


def without_proxy(viewer: ViewerModel) -> ViewerModel:
    """Return the viewer behind the proxy that napari hands to plugin widgets.

    Through the proxy some roads to a layer give the layer and others a proxy of it, so that
    layers could not be told apart by identity. Nothing private is used either way.
    """
    behind: ViewerModel = getattr(viewer, "__wrapped__", viewer)
    return behind
