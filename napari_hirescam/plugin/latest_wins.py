"""Answers to a stream of requests of which only the latest matters."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal


class LatestWins(QObject):
    """Hands requests on one at a time; of those that come meanwhile, only the last is kept.

    While a point is dragged, places come faster than the network can answer. Connect `due` to
    what starts the work, and call :meth:`done` whenever that has ended, however it ended.
    """

    #: Carries a request whose turn it is.
    due = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._busy = False
        self._waiting: list[Any] = []

    @property
    def busy(self) -> bool:
        """True while a request that was handed on is not done."""
        return self._busy

    def ask(self, request: object) -> None:
        """Hand a request on now, or when the present one is done."""
        if self._busy:
            self._waiting = [request]
            return
        self._busy = True
        self.due.emit(request)

    def done(self) -> None:
        """Say that the request that was handed on has been dealt with."""
        self._busy = False
        if self._waiting:
            self.ask(self._waiting.pop())

    def forget(self) -> None:
        """Drop what waits, and count the present request as done."""
        self._busy = False
        self._waiting = []
