"""How long the window is kept waiting: during Run, and when labels or methods are switched.

Opens a real napari window (under Xvfb where there is no screen) with the sample CT and model.
A timer ticks in the GUI thread; the longest silence between two ticks is what a user would
feel. The plugin's own methods are timed one by one as well, so that what napari and the GL
driver take for drawing (long without a graphics card) is told apart.

    xvfb-run -a -s "-screen 0 1440x900x24" python benchmarks/responsiveness.py
    ... --ct CT --model MODEL      # another CT, another model
"""

from __future__ import annotations

import argparse
import functools
import importlib
import pkgutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

from napari_hirescam import plugin
from napari_hirescam.plugin.display_panel import BOTH, DIFFERENCE, ONE
from napari_hirescam.plugin.view import window_with_widget
from napari_hirescam.plugin.widget import HiResCAMWidget
from napari_hirescam.sample import sample_ct_path, sample_model_path

BEAT_MS = 5
SWITCHES = 12
SHOWN = 6


class Heartbeat:
    """The longest pause between two ticks of a timer in the GUI thread."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.longest_ms = max(self.longest_ms, 1000 * (now - self._last) - BEAT_MS)
        self._last = now

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Measure while the block runs."""
        self.longest_ms, self._last = 0.0, time.perf_counter()
        self._timer.start(BEAT_MS)
        yield
        self._timer.stop()


class SlotClock:
    """The longest time the GUI thread spent inside each of the plugin's own methods.

    Only the outermost call counts: what a slot calls belongs to the slot.
    """

    def __init__(self) -> None:
        self.longest_ms: dict[str, float] = {}
        self._inside = False

    def watch_plugin(self) -> None:
        """Time every method of every class of the plugin room made from now on."""
        for found in pkgutil.iter_modules(plugin.__path__, f"{plugin.__name__}."):
            module = importlib.import_module(found.name)
            for cls in vars(module).values():
                if isinstance(cls, type) and cls.__module__ == found.name:
                    for name, method in list(vars(cls).items()):
                        if isinstance(method, FunctionType):
                            setattr(cls, name, self._timed(f"{cls.__name__}.{name}", method))

    def _timed(self, key: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*args: Any, **options: Any) -> Any:
            if self._inside or threading.current_thread() is not threading.main_thread():
                return method(*args, **options)
            self._inside = True
            start = time.perf_counter()
            try:
                return method(*args, **options)
            finally:
                self._inside = False
                spent = 1000 * (time.perf_counter() - start)
                self.longest_ms[key] = max(self.longest_ms.get(key, 0.0), spent)

        return timed


def milliseconds(action: Callable[[], Any]) -> float:
    """Time an action in the GUI thread, without the drawing that follows it."""
    start = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - start)


def choose_method(widget: HiResCAMWidget, key: str) -> None:
    """Choose a method, as a user would."""
    widget.display.method.key = key


def show_as(widget: HiResCAMWidget, way: str) -> None:
    """Press the switch, as a user would."""
    widget.display.show_as.value = way


def settle(turns: int = 20) -> None:
    """Let the window draw."""
    for _ in range(turns):
        QApplication.processEvents()


def run_and_listen(widget: HiResCAMWidget, heartbeat: Heartbeat) -> float:
    """Press Run and wait for the maps; returns the seconds it took."""
    loop = QEventLoop()
    widget.run_panel.explained.connect(loop.quit)
    widget.run_panel.failed.connect(loop.quit)
    start = time.perf_counter()
    with heartbeat.listening():
        widget.run()
        loop.exec()
    widget.run_panel.explained.disconnect(loop.quit)
    return time.perf_counter() - start


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ct", type=Path, default=None)
    parser.add_argument("--model", type=Path, default=None)
    options = parser.parse_args()
    slots = SlotClock()
    slots.watch_plugin()
    viewer, widget = window_with_widget(options.ct or sample_ct_path())
    viewer.window.resize(1440, 900)
    loop = QEventLoop()
    widget.model.loaded.connect(loop.quit)
    widget.model.load(options.model or sample_model_path())
    loop.exec()
    settle()

    heartbeat = Heartbeat()
    slots.longest_ms.clear()
    for name in ("first", "second"):
        seconds = run_and_listen(widget, heartbeat)
        settle()
        print(f"{name} run: {seconds:.1f} s, longest silence {heartbeat.longest_ms:.0f} ms")
    ranked = sorted(slots.longest_ms.items(), key=lambda item: -item[1])
    for name, spent in ranked[:SHOWN]:
        print(f"  {name}: {spent:.0f} ms at most")

    names = widget.explanation.labels if widget.explanation else ()
    switches: dict[str, list[float]] = {
        "label": [],
        "method": [],
        "smooth or blocks": [],
        "grid of cells": [],
        "side by side": [],
        "difference": [],
    }
    methods = tuple(widget.explanation.maps) if widget.explanation else ()
    for k in range(SWITCHES):
        label = names[k % len(names)]
        switches["label"].append(milliseconds(lambda name=label: widget.labels.set_ticked([name])))
        settle()
        method = methods[(k + 1) % len(methods)]
        switches["method"].append(milliseconds(lambda key=method: choose_method(widget, key)))
        settle()
    for k in range(4):
        joint = ("cells", "smooth")[k % 2]
        switches["smooth or blocks"].append(
            milliseconds(lambda key=joint: setattr(widget.display.smooth, "value", key))
        )
        settle()
        drawn = k % 2 == 0
        switches["grid of cells"].append(
            milliseconds(lambda on=drawn: widget.display.cells.setChecked(on))
        )
        settle()
    for what in (BOTH, DIFFERENCE):
        for k in range(4):
            way = (what, ONE)[k % 2]
            switches[what].append(milliseconds(lambda key=way: show_as(widget, key)))
            settle()
    for what, spent in switches.items():
        print(
            f"switching {what}: median {statistics.median(spent):.0f} ms, "
            f"longest {max(spent):.0f} ms of {len(spent)}"
        )
    viewer.close()


if __name__ == "__main__":
    main()
