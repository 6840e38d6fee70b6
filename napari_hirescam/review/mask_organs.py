"""Which organs a mask tells of, seen with as little reading as will do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path

from napari_hirescam.errors import OrganError, ReviewError
from napari_hirescam.io.names_in_header import names_in_header
from napari_hirescam.organs.mask_files import organ_files, read_organs
from napari_hirescam.organs.organ_tables import (
    MADE_OF,
    organ_name,
    read_organ_table,
    table_from_names,
    with_whole_organs,
)

#: A header takes a few milliseconds; where organs are named, no more of them are looked at.
MOST_HEADERS = 500


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
        self._names: dict[Path, Collection[str] | None] = {}
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
        if _is_organ(name):
            return (name,)
        return drawn_organs(self._read(mask))

    def among(
        self, asked: Collection[str], mask: Path, table: str = ""
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Tell those of some organs that a mask may have, and those that it lacks.

        Of a mask beyond the first :data:`MOST_HEADERS` that nothing else tells of, all are taken
        for possible until it is read.

        Parameters
        ----------
        asked
            Names of organs.
        mask
            A file, or a folder with a file for each organ.
        table
            Which value is which organ; empty if nobody says.

        Raises
        ------
        HirescamError
            It cannot be looked into, or nothing says which of several organs it is of.
        """
        told = self._told_of(mask, table, asked)
        if told is None:
            return tuple(asked), ()
        if not told and len(asked) > 1:
            # It would be judged under every name.
            raise OrganError(
                mask.name,
                f"nothing says which of {', '.join(asked)} it is of: give each organ a column "
                "(mask_liver), or the table of organs and values",
                "Say which organ it is of",
            )
        lacking = tuple(organ for organ in asked if told and organ not in told)
        return tuple(organ for organ in asked if organ not in lacking), lacking

    def _told_of(self, mask: Path, table: str, asked: Collection[str]) -> Collection[str] | None:
        """Organs that a mask has; none if nothing says it, None if it was not looked into."""
        files = organ_files(mask)
        if files:
            return with_whole_organs(dict.fromkeys(files, (1,)))
        if table:
            return self._table(table)
        name = organ_name(stem_of(mask))
        if mask not in self._names:
            self._names[mask] = None
            if len(self._names) <= MOST_HEADERS:
                self._names[mask] = self._names_of(mask, len(asked) > 1 and name not in asked)
        names = self._names[mask]
        is_name = name in asked or _is_organ(name)
        return names or ((name,) if is_name else names)

    def _names_of(self, mask: Path, may_read: bool) -> Collection[str] | None:  # noqa: FBT001
        """What a header calls the values, or all of the file where only that tells."""
        segments = names_in_header(mask)
        if segments is not None:
            return table_from_names((one.value, one.name) for one in segments)
        return self._read(mask) if may_read else None

    @property
    def stopped_looking(self) -> bool:
        """Whether there were so many masks that the headers of the rest were left unread."""
        return len(self._names) > MOST_HEADERS

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


def _is_organ(name: str) -> bool:
    # Late: the checks bring half of scipy with them.
    from napari_hirescam.review.checks.anatomy import anatomy_of

    return anatomy_of(name) is not None


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
