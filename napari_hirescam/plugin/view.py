"""Opening napari with a CT, the HiResCAM widget and, with a model, its attention."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hirescam.plugin.ct_layers import layer_from_volume
from napari_hirescam.plugin.opening import Opening, add_layer, tell_notes
from napari_hirescam.plugin.widget import HiResCAMWidget
from napari_hirescam.source import Repair

if TYPE_CHECKING:
    import napari

_PLUGIN = "napari-hirescam"
_NAME = "HiResCAM"


def open_viewer(
    ct: Path | None = None,
    model: Path | None = None,
    *,
    series: str | None = None,
    allow: Collection[Repair] = (),
    show: bool = True,
) -> None:
    """Open a napari window and stay until it is closed.

    The CT is read while the window is there, which asks what is not settled by `series` and
    `allow`; only a path that holds no scan at all is refused before.

    Parameters
    ----------
    ct
        A CT to open: a file, or a folder of DICOM slices.
    model
        A model folder; with a CT as well, it is run at once.
    series
        Which of several things under the path.
    allow
        Repairs that are agreed to.
    show
        Pass False to build the window without showing it or staying.

    Raises
    ------
    VolumeError
        The path holds no scan. (A scan or a model that cannot be loaded is named in the window.)
    """
    import napari

    from napari_hirescam.io import can_read, read_volume

    if ct is not None and not can_read(ct):
        read_volume(ct)  # which says why not
    viewer, widget = window_with_widget(show=show)
    if ct is not None:
        Opening.of(viewer).open([ct], series=series, allow=allow)
    if model is not None:
        load_and_run(widget, model)
    if show:
        napari.run()
    else:
        Opening.of(viewer).abandon()
        viewer.close()


def window_with_widget(
    ct: Path | None = None, *, show: bool = True
) -> tuple[napari.Viewer, HiResCAMWidget]:
    """Open a viewer with the widget docked to the right and, where one is named, a CT.

    The CT is read before the window opens, and an error in it is raised.
    """
    import napari

    from napari_hirescam.io import read_volume

    volume = read_volume(ct) if ct is not None else None
    viewer = napari.Viewer(title=_NAME, show=show)
    widget = HiResCAMWidget(viewer)
    viewer.window.add_dock_widget(widget, name=_NAME, area="right")
    if volume is not None:
        add_layer(viewer, layer_from_volume(volume))
        tell_notes(volume)
    return viewer, widget


def load_and_run(widget: HiResCAMWidget, model: Path) -> None:
    """Load a model and, once it and the CT that is being opened are there, run it."""

    def run_once() -> None:
        if widget.ct.busy or widget.model.classifier is None:
            return
        forget()
        if widget.ct.layer is not None:
            widget.run()

    def forget(_error: object = None) -> None:
        widget.model.loaded.disconnect(run_once)
        widget.model.failed.disconnect(forget)
        widget.ct.busy_changed.disconnect(run_once)

    widget.model.loaded.connect(run_once)
    widget.model.failed.connect(forget)
    widget.ct.busy_changed.connect(run_once)
    widget.model.load(model)
