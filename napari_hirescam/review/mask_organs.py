"""Which organs a mask tells of, seen with as little reading as will do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path

from napari_hirescam.errors import OrganError, ReviewError
from napari_hirescam.io.names_in_header import names_in_header
from napari_hirescam.organs.mask_files import organ_files, read_organs
from napari_hirescam.organs.organ_tables import (
    BUILT_IN,
    MADE_OF,
    organ_name,
    read_organ_table,
    table_from_names,
    with_whole_organs,
)

#: A header takes a few milliseconds; where organs are named, no more of them are looked at.
MOST_HEADERS = 500
_KNOWN = frozenset(name for table in BUILT_IN.values() for name in table)


class ToldOrgans:
    """Answers which organs masks tell of; what several masks share is looked up once.

    Parameters
    ----------
    should_stop
        Asked while a mask is read.
    """

    def __init__(self, should_stop: Callable[[], bool] | None = None) -> None:
        self._should_stop = should_stop
        self._table = cache(_table_of)
        self._headers: dict[Path, Mapping[str, tuple[int, ...]]] = {}
        self.opened = 0

    def check_table(self, table: str) -> None:
        """See that a table of organs and values can be read.

        Raises
        ------
        ReviewError
            It cannot.
        """
        self._table(table)

    def of(self, mask: Path, table: str = "") -> tuple[str, ...]:
        """Name the organs of a mask that was drawn as they are told of.

        What is made of other organs that are there ("lungs" of two lungs) is left out, and so is
        a second name for the same values: each voxel is judged under one name.

        Parameters
        ----------
        mask
            A file, or a folder with a file for each organ.
        table
            Which value is which organ; empty if nobody says.

        Raises
        ------
        HirescamError
            It cannot be read, or nothing says which organ it is of.
        """
        files = organ_files(mask)
        if files:
            return drawn_organs({organ: (k,) for k, organ in enumerate(files, 1)})
        if table:
            return drawn_organs(self._table(table))
        name = organ_name(stem_of(mask))
        if name in _KNOWN:
            return (name,)
        return drawn_organs(self._read(mask))

    def tells(self, mask: Path, table: str, organ: str) -> bool | None:
        """Say whether a mask tells of an organ; None where that is known once it is read.

        Raises
        ------
        HirescamError
            It cannot be looked into.
        """
        files = organ_files(mask)
        if files:
            return organ in with_whole_organs(dict.fromkeys(files, (1,)))
        if table:
            return organ in self._table(table)
        names = self._names(mask)
        return organ in names if names else None

    def _names(self, mask: Path) -> Mapping[str, tuple[int, ...]]:
        """What a header calls the values; nothing if it does not, or after many headers."""
        if mask not in self._headers:
            segments = None
            if len(self._headers) < MOST_HEADERS:
                segments = names_in_header(mask)
            self._headers[mask] = table_from_names((one.value, one.name) for one in segments or ())
        return self._headers[mask]

    @property
    def stopped_looking(self) -> bool:
        """Whether there were so many masks that the headers of the rest were left unread."""
        return len(self._headers) > MOST_HEADERS

    def _read(self, mask: Path) -> Mapping[str, tuple[int, ...]]:
        self.opened += 1
        segments = names_in_header(mask)
        if segments is None:
            return read_organs(mask, should_stop=self._should_stop).values
        found = table_from_names((one.value, one.name) for one in segments)
        if not found:
            raise OrganError(
                mask.name,
                "nothing says which organ it is of",
                "Name the organ that is judged, or give a table of organs and values",
            )
        return found


def drawn_organs(values: Mapping[str, Collection[int]]) -> tuple[str, ...]:
    """Name each region once: as the smallest parts that are told of, in their order."""
    seen: set[frozenset[int]] = set()
    found = []
    for organ, group in values.items():
        parts = MADE_OF.get(organ, ())
        region = frozenset(group)
        if (parts and all(part in values for part in parts)) or region in seen or not region:
            continue
        seen.add(region)
        found.append(organ)
    return tuple(found)


def stem_of(path: Path) -> str:
    """Take the ending off a volume's name."""
    name = path.name
    for ending in (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd", ".npz",
                   ".dcm", ".zip"):  # fmt: skip
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _table_of(source: str) -> Mapping[str, tuple[int, ...]]:
    try:
        return read_organ_table(source)
    except OrganError as exc:
        raise ReviewError(source, exc.reason, exc.remedy) from exc
