"""napari's reader: CT volumes and label volumes in mm, in the (I, P, L) frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hirescam.errors import HirescamError

if TYPE_CHECKING:
    from napari_hirescam.plugin.ct_layers import LayerData

PathLike = str | Path
# What napari takes as "read, and there is nothing to add".
_NOTHING = [(None,)]


# Names that belong to medical images alone. What else the manifest names, zips and npz say, is
# read only if it is ours by its content, and left to other readers if not.
_NAMES = (".nii", ".nii.gz", ".dcm", ".nrrd", ".nhdr", ".mha", ".mhd")


def get_reader(
    path: PathLike | Sequence[PathLike],
) -> Callable[[PathLike | Sequence[PathLike]], list[LayerData] | list[tuple[None]]] | None:
    """Offer to read what is a CT by its content, and what only looks like one by its name.

    The second, too: a damaged NIfTI file is then refused with the reason, where napari would
    say no more than that nobody reads it.
    """
    from napari_hirescam.io import can_read

    paths = _as_list(path)
    ours = all(Path(one).name.lower().endswith(_NAMES) or can_read(one) for one in paths)
    return read_layers if paths and ours else None


def read_layers(
    path: PathLike | Sequence[PathLike],
) -> list[LayerData] | list[tuple[None]]:
    """Read each path into a layer data tuple and show the notes of its source.

    In a window that is being used, nothing is read here: napari calls its readers in the thread
    that draws the window, which would stand still meanwhile. The layers come by
    :class:`~napari_hirescam.plugin.opening.Opening`, each when it is read, and what is asked or
    refused on the way is said there.

    In a script the layers are returned. A file that cannot be read is named in one notification
    and adds nothing if there is a viewer; without a viewer the error is raised.

    Raises
    ------
    HirescamError
        If a path cannot be read and there is no napari viewer to tell it.
    """
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None and window_is_used():
        from napari_hirescam.plugin.opening import Opening

        Opening.of(viewer).open(_as_list(path))
        return _NOTHING
    return _read_now(_as_list(path), raises=viewer is None)


def _read_now(paths: Sequence[PathLike], *, raises: bool) -> list[LayerData] | list[tuple[None]]:
    from napari.utils.notifications import show_error

    from napari_hirescam.io import read_volume
    from napari_hirescam.plugin.ct_layers import layer_from_volume
    from napari_hirescam.plugin.opening import tell_notes

    layers: list[LayerData] = []
    read: set[Path] = set()  # slices of what has been read
    for one in paths:
        if Path(one).resolve() in read:
            continue
        try:
            volume = read_volume(one)
        except HirescamError as error:
            if raises:
                raise
            show_error(str(error))
            continue
        frames = volume.source.frames if volume.source else ()
        read.update(frame.path.resolve() for frame in frames if frame is not None)
        tell_notes(volume)
        layers.append(layer_from_volume(volume))
    return layers or _NOTHING


def window_is_used() -> bool:
    """True if Qt's event loop is running, and not only a script that will start it later."""
    from qtpy.QtCore import QThread
    from qtpy.QtWidgets import QApplication

    return QApplication.instance() is not None and QThread.currentThread().loopLevel() > 0


def _as_list(path: PathLike | Sequence[PathLike]) -> list[PathLike]:
    return [path] if isinstance(path, (str, Path)) else list(path)
