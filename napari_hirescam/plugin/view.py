"""Opening napari with a CT, the HiResCAM widget and, with a model, its attention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_hirescam.plugin.ct_layers import layer_from_volume
from napari_hirescam.plugin.reader import show_notes
from napari_hirescam.plugin.widget import HiResCAMWidget

if TYPE_CHECKING:
    import napari

_PLUGIN = "napari-hirescam"
_NAME = "HiResCAM"


def open_viewer(
    ct: Path | None = None,
    model: Path | None = None,
    *,
    series: str | None = None,
    show: bool = True,
) -> None:
    """Open a napari window and stay until it is closed.

    Parameters
    ----------
    ct
        A CT to open: a NIfTI file, a DICOM file or folder.
    model
        A model folder; with a CT as well, it is run at once.
    series
        Which DICOM series, where a folder holds several.
    show
        Pass False to build the window without showing it or staying.

    Raises
    ------
    VolumeError
        The CT cannot be read. (A model that cannot be loaded is named in the window.)
    """
    import napari

    viewer, widget = window_with_widget(ct, series=series, show=show)
    if model is not None:
        load_and_run(widget, model)
    if show:
        napari.run()
    else:
        viewer.close()


def window_with_widget(
    ct: Path | None = None, *, series: str | None = None, show: bool = True
) -> tuple[napari.Viewer, HiResCAMWidget]:
    """Open a viewer with the CT as a layer and the widget docked to the right.

    The CT is read before the window opens, so that a bad file is told on the command line.
    """
    import napari

    from napari_hirescam.io import read_volume

    volume = read_volume(ct, series=series) if ct is not None else None
    viewer = napari.Viewer(title=_NAME, show=show)
    widget = HiResCAMWidget(viewer)
    viewer.window.add_dock_widget(widget, name=_NAME, area="right")
    if volume is not None:
        voxels, options, kind = layer_from_volume(volume)
        add = viewer.add_labels if kind == "labels" else viewer.add_image
        add(voxels, **options)
        show_notes(volume.source.notes if volume.source else ())
    return viewer, widget


def load_and_run(widget: HiResCAMWidget, model: Path) -> None:
    """Load a model and, once it is there, run it on the chosen CT."""

    def run_once() -> None:
        widget.model.loaded.disconnect(run_once)
        widget.run()

    widget.model.loaded.connect(run_once)
    widget.model.load(model)
