"""Cases made up on the spot: phantom chests with drawn findings."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from napari_hirescam.cases.case import SPLITS, Case, CaseTable
from napari_hirescam.errors import CaseTableError
from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.volume import Shape3D, Volume

if TYPE_CHECKING:
    from napari_hirescam.phantom import Phantom

# Seeds of different tables' patients lie this far apart, so that no two tables share one. Those
# below belong to none: the sample CT and single phantoms have them.
_PATIENTS_A_TABLE = 100_000
#: Of the phantom's organs those that a finding may lie in or that lie about them. "body" is left
#: out: it overlaps all others and costs as much as they do together.
ORGANS = ("left_lung", "right_lung", "lungs", "heart", "aorta", "trachea", "liver", "spine")


@lru_cache(maxsize=2)
def _made(
    seed: int,
    findings: tuple[str, ...],
    spacing_mm: tuple[float, float, float],
    shape: Shape3D | None,
    devices: tuple[str, ...],
) -> Phantom:
    # CT, organs and findings of one case are asked for in turn, and made in one go.
    from napari_hirescam.phantom import make_phantom

    return make_phantom(seed, findings, spacing_mm=spacing_mm, shape=shape, devices=devices)


@dataclass(frozen=True)
class PhantomCase(Case):
    """A phantom chest, made when it is asked for.

    Parameters
    ----------
    seed
        The phantom patient.
    findings
        Those painted, also ones that are no label.
    spacing_mm
        Along (I, P, L).
    shape
        Voxels along (I, P, L); None covers the whole chest.
    devices
        What the patient wears or carries.
    """

    seed: int = 0
    findings: tuple[str, ...] = ()
    spacing_mm: tuple[float, float, float] = (5.0, 4.0, 4.0)
    shape: Shape3D | None = None
    devices: tuple[str, ...] = ()

    def _phantom(self) -> Phantom:
        return _made(self.seed, self.findings, self.spacing_mm, self.shape, self.devices)

    def ct(self) -> Volume:
        """Make the CT, int16 HU; its voxels are nobody else's."""
        made = self._phantom().volume
        return Volume(made.voxels.copy(), made.affine, self.name)

    def organs(self, ct: Volume | None = None) -> OrganMap:  # noqa: ARG002
        """Organs as they were painted."""
        phantom = self._phantom()
        masks = {name: phantom.organs[name] for name in ORGANS}
        return OrganMap.from_masks(masks, phantom.volume.affine, "the phantom's plan")

    def lesions(self, ct: Volume | None = None) -> dict[str, BoolArray]:  # noqa: ARG002
        """Findings as they were painted; those that are labels."""
        found = self._phantom().findings
        return {label: found[label].copy() for label in self.labels if label in found}

    def check(self, organs: Collection[str] = ()) -> None:
        """See that a phantom has these organs."""
        missing = sorted(set(organs) - set(ORGANS))
        if missing:
            raise CaseTableError(
                self.name,
                f"a phantom has no organ {', '.join(missing)}",
                f"Allow its findings organs out of: {', '.join(ORGANS)}",
            )

    def fingerprint(self) -> str:
        """Tell the phantom by what it is made from; see :meth:`Case.fingerprint`."""
        made_from = (self.seed, self.findings, self.spacing_mm, self.shape, self.devices)
        return hashlib.sha256(repr(made_from).encode()).hexdigest()


def phantom_table(
    train: int = 60,
    valid: int = 20,
    test: int = 20,
    *,
    seed: int = 0,
    spacing_mm: tuple[float, float, float] = (5.0, 4.0, 4.0),
    shape: Shape3D | None = None,
    labels: Sequence[str] | None = None,
    prevalence: float = 0.35,
) -> CaseTable:
    """Draw a study of phantoms, each a patient of its own.

    The same arguments give the same study. Tables of different seeds share no patient.

    Parameters
    ----------
    train, valid, test
        Number of phantoms in each split.
    seed
        Which study.
    spacing_mm
        Voxel spacing along (I, P, L).
    shape
        Voxels along (I, P, L); None covers the whole chest.
    labels
        Findings that are drawn, None for all that there are; no other is painted.
    prevalence
        Share of each split that has a label; rounded, but never none or all of a split of two
        or more, so that each label can be learned and measured.

    Raises
    ------
    CaseTableError
        A label is no finding of the phantoms, or a number makes no sense.
    """
    from napari_hirescam.phantom import FINDING_ORGAN

    labels = tuple(FINDING_ORGAN) if labels is None else tuple(labels)
    unknown = sorted(set(labels) - set(FINDING_ORGAN))
    if unknown or not labels:
        raise CaseTableError(
            "phantoms",
            f"there is no finding {', '.join(unknown)}" if unknown else "no label is asked for",
            f"Choose labels out of: {', '.join(FINDING_ORGAN)}",
        )
    counts = dict(zip(SPLITS, (train, valid, test), strict=True))
    if min(counts.values()) < 0 or not 0 < sum(counts.values()) < _PATIENTS_A_TABLE or seed < 0:
        raise CaseTableError(
            "phantoms",
            f"{train} + {valid} + {test} cases of seed {seed} cannot be made",
            f"Ask for 1 to {_PATIENTS_A_TABLE - 1} cases, and for a seed of 0 or more",
        )
    if not 0 < prevalence < 1:
        raise CaseTableError(
            "phantoms",
            f"prevalence {prevalence:g} leaves nothing to tell apart",
            "Give a share between 0 and 1",
        )
    cases: list[Case] = []
    for number, (split, count) in enumerate(counts.items()):
        rng = np.random.default_rng([seed, number])
        present = {label: draw_some(rng, count, prevalence) for label in labels}
        for k in range(count):
            patient = (seed + 1) * _PATIENTS_A_TABLE + len(cases)
            of_case = {label: bool(drawn[k]) for label, drawn in present.items()}
            name = f"phantom-{patient}"
            cases.append(
                PhantomCase(
                    name=name,
                    patient=name,
                    split=split,
                    labels=of_case,
                    allowed={label: (FINDING_ORGAN[label],) for label in labels},
                    seed=patient,
                    findings=tuple(label for label in FINDING_ORGAN if of_case.get(label)),
                    spacing_mm=spacing_mm,
                    shape=shape,
                )
            )
    return CaseTable(f"phantoms of seed {seed}", labels, tuple(cases))


def draw_some(rng: np.random.Generator, count: int, share: float) -> BoolArray:
    """Choose a share of some cases; of two or more never none or all."""
    if count < 2:
        return np.asarray(rng.random(count) < share)
    n_chosen = min(max(round(share * count), 1), count - 1)
    return rng.permutation(np.arange(count) < n_chosen)
