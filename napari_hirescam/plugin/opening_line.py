"""The line of what is to be opened, in which the parts of one scan count once.

Who drops the two hundred slices of a series on the window means one scan; napari hands them to
a reader one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hirescam.source import Repair
    from napari_hirescam.volume import Volume

# Names of files that hold a scan each; the slices of a series have other names, or none.
_WHOLE = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".npz", ".zip", ".hdr", ".img")
_PAIR = (".hdr", ".img")


@dataclass(frozen=True)
class Request:
    """One thing to read.

    Parameters
    ----------
    path
        File or folder.
    series
        Key of an item of it.
    allow
        Repairs that are agreed to.
    times
        Keys of several items that become one layer with a time axis.
    """

    path: Path
    series: str | None = None
    allow: frozenset[Repair] = frozenset()
    times: tuple[str, ...] = ()


class OpeningLine:
    """Requests in the order in which they are met."""

    def __init__(self) -> None:
        self._waiting: list[Request] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def append(
        self, paths: Iterable[str | Path], series: str | None, allow: Collection[Repair]
    ) -> None:
        """Let paths wait behind the others."""
        self._waiting += [Request(Path(path), series, frozenset(allow)) for path in paths]

    def put_first(self, requests: Iterable[Request]) -> None:
        """Let requests go before all others: the answer to a question comes at once."""
        self._waiting[:0] = requests

    def take(self) -> Request:
        """Take out the first."""
        return self._waiting.pop(0)

    def clear(self) -> None:
        """Forget all of them."""
        self._waiting.clear()

    def forget_parts(self, volume: Volume, request: Request) -> None:
        """Take out files that are parts of what a request has just read."""
        if not self._waiting or volume.source is None or request.series is not None:
            return
        known = {frame.path.resolve() for frame in volume.source.frames if frame is not None}
        path = request.path.resolve()
        if path.suffix.lower() in _PAIR:  # one of NIfTI's two halves
            halves = path.parent.glob(f"{escape(path.stem)}.*")
            known |= {half for half in halves if half.suffix.lower() in _PAIR}
        if known:
            self._waiting = [one for one in self._waiting if one.path.resolve() not in known]

    def forget_beside(self, request: Request) -> None:
        """Take out other slices of a request's folder: one refusal speaks for all of them."""
        if _may_be_slice(request.path):
            self._waiting = [
                one
                for one in self._waiting
                if one.path.parent != request.path.parent or not _may_be_slice(one.path)
            ]


def _may_be_slice(path: Path) -> bool:
    return not path.is_dir() and not path.name.lower().endswith(_WHOLE)
