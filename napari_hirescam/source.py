"""What is known of a volume besides its voxels: where it came from and what was done to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hirescam.volume import Grid


class Repair(StrEnum):
    """What a reader can do to a scan that it would otherwise refuse.

    All but `STRAIGHTEN` need the user's word, since they invent data or settle what the file
    leaves open.
    """

    STRAIGHTEN = "straighten"
    """Resample an oblique or tilted scan onto the patient's axes; done by itself, and said."""
    INSERT_MISSING = "insert-missing"
    """Put blank slices, marked invalid, where slices are missing."""
    EVEN_SPACING = "even-spacing"
    """Resample unevenly spaced slices to the finest spacing; what lies between is marked."""
    LEAVE_OUT_ODD = "leave-out-odd"
    """Leave out slices that are damaged or do not fit the rest of their series."""
    ASSUME_PLACE = "assume-place"
    """Take a scan that does not say where it lies for one along the patient's axes."""
    USE_SFORM = "use-sform"
    """Believe a NIfTI file's sform where its qform says something else."""
    USE_QFORM = "use-qform"
    """Believe a NIfTI file's qform where its sform says something else."""


@dataclass(frozen=True)
class Repaired:
    """One repair that was made.

    Parameters
    ----------
    repair
        Which.
    what
        One sentence: what was done, to how much, with figures.
    asked
        True if it was done on the user's word, False if it needs none.
    """

    repair: Repair
    what: str
    asked: bool


@dataclass(frozen=True)
class Fact:
    """One line of the geometry report.

    Parameters
    ----------
    section
        "Orientation", "Slices", "Numbers", "File", ...; lines of one section stand together.
    name
        What is told: "Slice spacing".
    value
        In words, with its unit: "2.5 mm".
    remark
        What is noteworthy about it; "" if it is as it should be.
    """

    section: str
    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Frame:
    """One slice of a DICOM series as it lies on the disk, so that a result can refer to it.

    Parameters
    ----------
    path
        Its file.
    sop_class_uid, sop_instance_uid
        Of the object it is (in).
    number
        Of the frame within a multi-frame object, from 1; None in a file with one slice.
    position_lps_mm
        Centre of its first pixel.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    number: int | None
    position_lps_mm: tuple[float, float, float]


@dataclass(frozen=True)
class DisplayWindow:
    """A grey-scale window the file asks for, in the volume's own quantity.

    Parameters
    ----------
    name
        "LUNG", say; "" if the file gives none.
    centre, width
        In HU for a CT.
    """

    name: str
    centre: float
    width: float


@dataclass(frozen=True)
class Segment:
    """What one value of a mask stands for.

    Parameters
    ----------
    value
        The number in the voxels; 0 is background.
    name
        "liver".
    colour
        Red, green and blue from 0 to 1, if the file says so.
    details
        Further facts: coded category and type, algorithm.
    """

    value: int
    name: str
    colour: tuple[float, float, float] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Source:
    """Where a volume came from and what was done to it while reading.

    Parameters
    ----------
    path
        File or folder it was read from.
    format
        "NIfTI", "DICOM", ...
    grid
        The grid as stored in the file, its axes in stored order, so that a result can be
        written back onto it even where reading had to resample. Where slices were inserted or
        evened out, the regular grid that came of it.
    orientation
        The stored axes in patient letters of the directions they grow to, "RAS" or "LPS" say.
    notes
        One sentence for each thing the user should know (resampled, slices dropped, other
        series in the folder, values that do not look like HU).
    details
        Further facts worth keeping: series description, kernel, number of slices. Nothing that
        identifies the patient.
    item
        Key of what was read among several things under the path (series, phase, volume).
    facts
        The geometry report, in order. Nothing that identifies the patient.
    repaired
        What was mended, with whose consent; goes into everything exported.
    stored_geometry
        The geometry fields as the file has them, for a writer of the same format: a result on
        the same grid then carries them bit for bit.
    frames
        DICOM only: the slices in the order of the stored grid's last axis; inserted ones are
        None.
    windows
        Grey-scale windows the file asks for.
    """

    path: Path
    format: str
    grid: Grid
    orientation: str
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    item: str = ""
    facts: tuple[Fact, ...] = ()
    repaired: tuple[Repaired, ...] = ()
    stored_geometry: Mapping[str, Any] = field(default_factory=dict)
    frames: tuple[Frame | None, ...] = ()
    windows: tuple[DisplayWindow, ...] = ()

    def as_provenance(self) -> dict[str, Any]:
        """What a file that is made from this one says of it, as plain JSON values.

        A file is told by its name, a DICOM series by its description: folders are often called
        after patients.
        """
        told = self.path.name
        if self.format.startswith("DICOM"):
            told = str(self.details.get("description") or self.format)
        return {
            "ct": told,
            "item": self.item,
            "repairs": [
                {"repair": str(done.repair), "what": done.what, "asked": done.asked}
                for done in self.repaired
            ],
            "notes": list(self.notes),
        }
