"""What a case is, whatever it is read from: the contract of training and evaluation."""

from __future__ import annotations

import hashlib
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from napari_hirescam.errors import CaseTableError
from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.volume import Volume

#: In which part of a study a case is used.
Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


@dataclass(frozen=True)
class Case(ABC):
    """One CT of one patient, its labels, and what is known of where they lie.

    Small and picklable: the voxels are read when they are asked for, in whatever process asks.

    Parameters
    ----------
    name
        Unique in its table and fit for a file name.
    patient
        Cases of one patient must stay in one split. Never a real identifier.
    split
        Where it belongs; None if the table does not say.
    labels
        Label -> whether it is present. A label that is not in it is unknown for this case: it
        counts neither in a loss nor in a measure.
    allowed
        Label -> organs it may lie in in this case, where that differs from the model's own table
        (the affected side's lung, say).
    """

    name: str
    patient: str
    split: Split | None
    labels: Mapping[str, bool]
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @abstractmethod
    def ct(self) -> Volume:
        """Read the CT.

        Raises
        ------
        VolumeError
            It cannot be read.
        """

    @abstractmethod
    def organs(self, ct: Volume | None = None) -> OrganMap | None:
        """Organ regions on the CT's grid; None if this case has none.

        Parameters
        ----------
        ct
            What :meth:`ct` returned, to spare reading it again.

        Raises
        ------
        VolumeError, OrganError
            A mask cannot be read, or lies on another grid or patient than the CT.
        """

    def lesions(self, ct: Volume | None = None) -> dict[str, BoolArray]:  # noqa: ARG002
        """Label -> where the finding itself lies, on the CT's grid; empty if nobody outlined it.

        Parameters
        ----------
        ct
            What :meth:`ct` returned, to spare reading it again.
        """
        return {}

    # Not every case has files that could be at fault.
    def check(self, organs: Collection[str] = ()) -> None:  # noqa: B027
        """See from headers alone that the CT and the masks can be read and fit each other.

        Parameters
        ----------
        organs
            What the masks must tell of; a case without masks is not asked for them.

        Raises
        ------
        CaseTableError
            They cannot, do not, or lack an organ; names the case.
        """

    def fingerprint(self) -> str:
        """Tell this case's CT and masks from what they would be if they were changed.

        Returns
        -------
        A SHA-256. What is made of a case can be kept under it.
        """
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def organs_of(self, label: str, usual: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """Organs a present label may lie in: this case's own word, else the usual table's.

        Raises
        ------
        CaseTableError
            Neither says.
        """
        organs = self.allowed.get(label) or usual.get(label)
        if not organs:
            raise CaseTableError(
                self.name,
                f"no organ is allowed for label {label!r}",
                "Name its organs in the model's 'organs' or in a table of labels and organs",
            )
        return tuple(organs)


def same_patient(patient: str) -> str:
    """Spell a patient's name in one way: tables put together by hand have "P1" and "p1 "."""
    return " ".join(unicodedata.normalize("NFKC", patient).casefold().split())


@dataclass(frozen=True)
class CaseTable:
    """Cases of one study, and the labels they are judged by.

    Parameters
    ----------
    name
        Of the file or cohort, for messages and reports.
    labels
        In the order of a network's outputs.
    cases
        In a fixed order.
    notes
        What a user should know of how it was read: ignored columns, assumed patients.

    Raises
    ------
    CaseTableError
        Two cases have one name, or one patient is in two splits.
    """

    name: str
    labels: tuple[str, ...]
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        splits: dict[str, tuple[Split | None, str]] = {}
        names: set[str] = set()
        for case in self.cases:
            if case.name in names:
                raise CaseTableError(
                    self.name, f"case {case.name} is listed twice", "Give each case its own name"
                )
            names.add(case.name)
            patient = same_patient(case.patient)
            split, first = splits.setdefault(patient, (case.split, case.name))
            if split != case.split:
                raise CaseTableError(
                    self.name,
                    f"cases {first} ({split}) and {case.name} ({case.split}) are of one patient",
                    "Put all cases of a patient into one split",
                )

    def of(self, split: Split) -> CaseTable:
        """The cases of one split.

        Raises
        ------
        CaseTableError
            There is none.
        """
        chosen = tuple(case for case in self.cases if case.split == split)
        if not chosen:
            raise CaseTableError(
                self.name,
                f"no case is in split {split!r}",
                "Fill the column 'split' with train, valid and test",
            )
        return CaseTable(f"{self.name}, {split}", self.labels, chosen, self.notes)
