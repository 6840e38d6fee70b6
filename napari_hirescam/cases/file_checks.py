"""What the headers of a case's files tell before any voxel is read."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from napari_hirescam.errors import CaseTableError, OrganError, VolumeError
from napari_hirescam.io import Item, list_items
from napari_hirescam.organs.placed_masks import check_reach
from napari_hirescam.source import Repair

_NOT_A_CT = ("labels", "SEG", "MR", "PT", "localizer")


def ct_header(
    case: str, path: Path, series: str | None = None, allow: Collection[Repair] = ()
) -> Item | None:
    """Look at the header of a case's CT.

    Parameters
    ----------
    case
        Its name, for messages.
    path, series, allow
        As for `read_volume`.

    Returns
    -------
    What would be read; None where only reading chooses among several.

    Raises
    ------
    CaseTableError
        It cannot be read, needs a repair nobody agreed to, or is no CT.
    """
    item = _item(case, path, series)
    if item is None:
        return None
    if item.problem and not set(item.needs) & set(allow):
        remedy = f"Leave it out, or allow the repair {' or '.join(item.needs)}"
        raise CaseTableError(
            case,
            f"its CT {path.name} cannot be read: {item.problem}",
            remedy if item.needs else "Mend or leave out its row",
        )
    if item.kind in _NOT_A_CT:
        raise CaseTableError(
            case,
            f"{path.name} in column 'ct' is no CT ({item.kind})",
            "Name the file or folder of the CT",
        )
    return item


def check_mask(case: str, column: str, path: Path, ct: Item | None) -> None:
    """Check a mask's header, and that it reaches over all of the CT it belongs to.

    Parameters
    ----------
    case
        Name of the case, for messages.
    column
        Where the mask stands in the table.
    path
        A file, or a folder of them, of which the first is looked at.
    ct
        Header of the CT, if it could be told.

    Raises
    ------
    CaseTableError
        It cannot be read, or lies elsewhere than the CT.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
        if not files:
            raise CaseTableError(
                case, f"folder {path.name} in column {column!r} is empty", "Put the masks there"
            )
        path = files[0]
    item = _item(case, path, None)
    if item is None:
        return
    if item.problem:
        raise CaseTableError(
            case,
            f"{path.name} in column {column!r} cannot be read: {item.problem}",
            "Mend it or leave the cell empty",
        )
    if ct is None or ct.grid is None or item.grid is None:
        return
    try:
        check_reach(item.grid, ct.grid, path.name)
    except OrganError as exc:
        raise CaseTableError(
            case, f"{path.name} in column {column!r}: {exc.reason}", exc.remedy
        ) from exc


def _item(case: str, path: Path, series: str | None) -> Item | None:
    try:
        items = list_items(path)
    except VolumeError as exc:
        raise CaseTableError(case, f"{path.name}: {exc.reason}", exc.remedy) from exc
    if series is not None:
        items = tuple(
            item for item in items if item.key.startswith(series) or item.number == series
        )
        if not items:
            raise CaseTableError(
                case, f"{path.name} has no series {series}", "Name one that `info` lists"
            )
    return items[0] if len(items) == 1 else None
