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


# As in the manifest.
_NAMES = (".nii", ".nii.gz", ".dcm")


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

    In a napari window a file that cannot be read is named in one notification and adds
    nothing: an exception would reach the user as a traceback, or as a dialog that offers other
    readers and hides the reason. Without a window the error is raised.

    Raises
    ------
    HirescamError
        If a path cannot be read and there is no napari viewer to tell it.
    """
    from napari import current_viewer
    from napari.utils.notifications import show_error

    from napari_hirescam.io import read_volume
    from napari_hirescam.plugin.ct_layers import layer_from_volume

    layers: list[LayerData] = []
    for one in _as_list(path):
        try:
            volume = read_volume(one)
        except HirescamError as error:
            if current_viewer() is None:
                raise
            show_error(str(error))
            continue
        show_notes(volume.source.notes if volume.source else ())
        layers.append(layer_from_volume(volume))
    return layers or _NOTHING


def show_notes(notes: Sequence[str]) -> None:
    """Show what a reader found worth saying; GUI thread only."""
    from napari.utils.notifications import show_info

    for note in notes:
        show_info(note)


def _as_list(path: PathLike | Sequence[PathLike]) -> list[PathLike]:
    return [path] if isinstance(path, (str, Path)) else list(path)
