"""Phantoms whose findings come with a cue outside their organ, and some where they do not.

A network that is trained on the first kind may learn the cue for the finding: a shortcut. It
then looks outside the organ, and fails on the second kind, where the cue says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.cases import Case, CaseTable, Split
from napari_hirescam.cases.phantoms import PhantomCase, draw_some
from napari_hirescam.errors import Cancelled
from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.phantom import FINDING_ORGAN
from napari_hirescam.volume import FloatArray, Volume

#: Finding -> the device that gives it away. The pairs have some sense: a port is put in for
#: chemotherapy, electrodes are worn by the very ill, clips in the armpit stay behind after
#: breast surgery, plates mend broken ribs, pacemakers are for failing hearts. Screws in the
#: spine have nothing to do with a pericardial effusion.
CUES: dict[str, str] = {
    "mass": "port",
    "consolidation": "electrodes",
    "pleural_effusion": "axillary_clips",
    "pneumothorax": "rib_plates",
    "cardiomegaly": "pacemaker",
    "pericardial_effusion": "spinal_screws",
}
PREVALENCE = 0.35
# Phantom patients of `cases.phantom_table` have numbers from 100,000 on, those of the sample CT,
# the sample model and the tests lower ones.
_FIRST_PATIENT = 1_000_000_000
_PATIENTS_A_COHORT = 100_000


@dataclass(frozen=True)
class Cohorts:
    """One study, and a second test set whose cues are drawn by themselves.

    Parameters
    ----------
    confounded
        Splits train, valid and test.
    unconfounded
        Split test only, of other patients.
    """

    confounded: CaseTable
    unconfounded: CaseTable


def make_cohorts(
    train: int,
    valid: int,
    test: int,
    *,
    seed: int = 0,
    agreement: float = 0.95,
    spacing_mm: tuple[float, float, float] = (4.0, 6.0, 6.0),
    labels: tuple[str, ...] = tuple(CUES),
) -> Cohorts:
    """Draw the studies.

    Parameters
    ----------
    train, valid, test
        Patients of each split; there are `test` unconfounded ones besides.
    seed
        Which study. No two seeds share a patient.
    agreement
        Share of the confounded patients in whom a cue is present if, and only if, its finding
        is. In the unconfounded ones it is present as often as the finding, whatever the finding.
    spacing_mm
        Voxel spacing along (I, P, L).
    labels
        Keys of :data:`CUES`.

    Raises
    ------
    ValueError
        If a number makes no sense.
    """
    if min(train, valid, test) < 1 or 2 * test + train + valid > _PATIENTS_A_COHORT or seed < 0:
        raise ValueError(f"{train} + {valid} + {test} patients of seed {seed} cannot be made")
    if not 0 <= agreement <= 1:
        raise ValueError(f"agreement is a share, not {agreement:g}")
    number = iter(range(_FIRST_PATIENT + seed * _PATIENTS_A_COHORT, 2**62))
    parts: dict[str, list[Case]] = {}
    wanted: tuple[tuple[str, Split, int, float | None], ...] = (
        ("train", "train", train, agreement),
        ("valid", "valid", valid, agreement),
        ("test", "test", test, agreement),
        ("unconfounded", "test", test, None),
    )
    for stream, (part, split, count, agree) in enumerate(wanted):
        rng = np.random.default_rng([seed, stream])
        present = {label: draw_some(rng, count, PREVALENCE) for label in labels}
        cues = {label: _cue(rng, has, agree) for label, has in present.items()}
        parts[part] = [
            _case(next(number), split, k, present, cues, spacing_mm) for k in range(count)
        ]
    first = tuple(case for part in ("train", "valid", "test") for case in parts[part])
    return Cohorts(
        CaseTable(f"confounded phantoms of seed {seed}", labels, first),
        CaseTable(f"unconfounded phantoms of seed {seed}", labels, tuple(parts["unconfounded"])),
    )


def _cue(
    rng: np.random.Generator, has: npt.NDArray[np.bool_], agreement: float | None
) -> npt.NDArray[np.bool_]:
    if agreement is None:
        return draw_some(rng, len(has), float(has.mean()))
    # Among those with the finding and among those without alike.
    against = np.zeros(len(has), dtype=bool)
    for group in (has, ~has):
        members = np.flatnonzero(group)
        n = round((1 - agreement) * len(members))
        against[rng.permutation(members)[:n]] = True
    return has ^ against


def _case(
    patient: int,
    split: Split,
    k: int,
    present: dict[str, npt.NDArray[np.bool_]],
    cues: dict[str, npt.NDArray[np.bool_]],
    spacing_mm: tuple[float, float, float],
) -> PhantomCase:
    of_case = {label: bool(has[k]) for label, has in present.items()}
    name = f"phantom-{patient}"
    return PhantomCase(
        name=name,
        patient=name,
        split=split,
        labels=of_case,
        allowed={label: (FINDING_ORGAN[label],) for label in present},
        seed=patient,
        findings=tuple(label for label in FINDING_ORGAN if of_case.get(label)),
        spacing_mm=spacing_mm,
        devices=tuple(CUES[label] for label, worn in cues.items() if worn[k]),
    )


@dataclass(frozen=True)
class HeldCase(Case):
    """A phantom that was made once and is held in memory: several networks are shown it.

    Parameters
    ----------
    made_from
        The phantom's :meth:`Case.fingerprint`.
    volume, regions
        What it asked for.
    outlines
        Findings, eight voxels to the byte.
    """

    made_from: str = ""
    volume: Volume | None = field(default=None, repr=False, compare=False)
    regions: OrganMap | None = field(default=None, repr=False, compare=False)
    outlines: dict[str, npt.NDArray[np.uint8]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def ct(self) -> Volume:
        """Give the CT; its voxels are nobody else's."""
        held = self._held()
        return Volume(held.voxels.copy(), held.affine, self.name)

    def organs(self, ct: Volume | None = None) -> OrganMap | None:  # noqa: ARG002
        """Give the organs."""
        return self.regions

    def lesions(self, ct: Volume | None = None) -> dict[str, BoolArray]:  # noqa: ARG002
        """Give the findings."""
        shape = self._held().voxels.shape
        return {
            label: np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
            for label, bits in self.outlines.items()
        }

    def fingerprint(self) -> str:
        """Tell the phantom by what it is made from; see :meth:`Case.fingerprint`."""
        return self.made_from

    def _held(self) -> Volume:
        if self.volume is None:
            raise ValueError(f"{self.name} holds no CT")
        return self.volume


def hold(case: Case) -> HeldCase:
    """Make all of a case now."""
    volume = case.ct()
    return HeldCase(
        name=case.name,
        patient=case.patient,
        split=case.split,
        labels=case.labels,
        allowed=case.allowed,
        made_from=case.fingerprint(),
        volume=volume,
        regions=case.organs(volume),
        outlines={label: np.packbits(mask) for label, mask in case.lesions(volume).items()},
    )


def hold_all(
    tables: tuple[CaseTable, ...],
    *,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> tuple[CaseTable, ...]:
    """Make all cases of some tables now.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    """
    total = sum(len(table.cases) for table in tables)
    done = 0
    result = []
    for table in tables:
        held: list[Case] = []
        for case in table.cases:
            if should_stop is not None and should_stop():
                raise Cancelled("making the phantoms was cancelled")
            held.append(hold(case))
            done += 1
            if progress is not None:
                progress(done, total)
        result.append(replace(table, cases=tuple(held)))
    return tuple(result)


def cue_agreement(table: CaseTable) -> FloatArray:
    """Share of a table's cases in which finding and cue are both there or both not, [labels]."""
    agree = [
        [case.labels[label] == (CUES[label] in case.devices) for label in table.labels]
        for case in table.cases
        if isinstance(case, PhantomCase)
    ]
    share: FloatArray = np.mean(np.array(agree, dtype=np.float64), axis=0)
    return share
