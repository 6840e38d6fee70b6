"""Cases whose organs are found by PARTITION when they are first asked for, and kept on disk."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_hirescam import __version__
from napari_hirescam.cases.case import Case, CaseTable
from napari_hirescam.errors import CaseTableError, OrganError
from napari_hirescam.organs import OrganMap, find_organs
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.partition import VALUES
from napari_hirescam.safe_write import replace_file
from napari_hirescam.volume import Volume


@dataclass(frozen=True)
class FoundOrgansCase(Case):
    """A case with organs of PARTITION in place of its own.

    Parameters
    ----------
    base
        Whose CT, labels and lesions these are.
    folder
        Keeps what was found, one file for each CT.
    rough
        Whether rough regions serve where PARTITION finds none.
    """

    base: Case | None = None
    folder: Path = Path()
    rough: bool = False

    @property
    def _base(self) -> Case:
        if self.base is None:
            raise ValueError("a case with found organs needs the case it is made of")
        return self.base

    def ct(self) -> Volume:
        """Read the CT; see :meth:`Case.ct`."""
        return self._base.ct()

    def organs(self, ct: Volume | None = None) -> OrganMap:
        """Give what was found before, or find it now.

        Raises
        ------
        VolumeError
            The CT cannot be read.
        OrganError
            PARTITION refuses the CT, or what it found cannot be written.
        """
        file = self.folder / f"{self._digest()[:40]}.npz"
        kept = _read(file)
        if kept is not None:
            return kept
        found = find_organs(ct or self.ct(), rough=self.rough)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(file, _as_bytes(found))
        except OSError as exc:
            raise OrganError(
                self.folder,
                f"organ regions cannot be kept there ({exc.strerror or exc})",
                "Make room on the disk, or choose another folder",
            ) from exc
        return found

    def lesions(self, ct: Volume | None = None) -> dict[str, BoolArray]:
        """Give the case's own lesions; see :meth:`Case.lesions`."""
        return self._base.lesions(ct)

    def check(self, organs: Collection[str] = ()) -> None:
        """Check the case's files, and that PARTITION knows the organs."""
        self._base.check()
        missing = sorted(set(organs) - set(VALUES))
        if missing:
            raise CaseTableError(
                self.name,
                f"PARTITION finds no {', '.join(missing)}",
                f"Allow its labels organs out of: {', '.join(VALUES)}",
            )

    def fingerprint(self) -> str:
        """Tell the case by its own files; see :meth:`Case.fingerprint`."""
        return self._digest()

    def _digest(self) -> str:
        text = f"PARTITION of {__version__}, rough {self.rough}, {self._base.fingerprint()}"
        return hashlib.sha256(text.encode()).hexdigest()


def with_found_organs(table: CaseTable, folder: str | Path, *, rough: bool = False) -> CaseTable:
    """Let PARTITION find the organs of every case of a table, whether it has masks or not.

    Parameters
    ----------
    table
        The cases.
    folder
        Where the regions are kept, so that each CT is searched once, by whoever asks first.
    rough
        Whether rough regions serve where PARTITION finds none.
    """
    cases = tuple(
        FoundOrgansCase(
            case.name,
            case.patient,
            case.split,
            case.labels,
            case.allowed,
            base=case,
            folder=Path(folder),
            rough=rough,
        )
        for case in table.cases
    )
    return replace(table, cases=cases)


def _as_bytes(organs: OrganMap) -> bytes:
    facts = {
        "values": dict(organs.values),
        "origin": organs.origin,
        "doubts": organs.doubts,
        "notes": organs.notes,
    }
    content = io.BytesIO()
    np.savez_compressed(
        content,
        labels=organs.labels,
        affine=organs.affine,
        facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8),
    )
    return content.getvalue()


def _read(file: Path) -> OrganMap | None:
    """Read what was kept; None if there is nothing, or nothing sound."""
    try:
        # Opened here: of what is no archive, numpy leaves the file open.
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            values = {organ: tuple(found) for organ, found in facts["values"].items()}
            return OrganMap(
                arrays["labels"],
                arrays["affine"],
                values,
                facts["origin"],
                tuple(facts["doubts"]),
                tuple(facts["notes"]),
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None  # found anew, and written over
