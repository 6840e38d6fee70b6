"""Where the two networks look in one patient for each finding: projections from the front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_hirescam.cases import Case, CaseTable
from napari_hirescam.cases.phantoms import PhantomCase
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.reproduce.overlays import Overlay, draw_rows
from napari_hirescam.reproduce.phantom_cohort import CUES

if TYPE_CHECKING:
    from napari_hirescam.models import Classifier

_FRONT = 1  # the axis along P
# Lungs dark, bone grey, metal white.
_GREY_HU = (-900.0, 2500.0)


def side_by_side(
    drawn: CaseTable, held: CaseTable, networks: Mapping[str, Classifier]
) -> tuple[bytes, tuple[str, ...]]:
    """Draw the HiResCAM maps of all networks in the first patient with a finding and its cue.

    Parameters
    ----------
    drawn, held
        The same patients, as they were drawn and with their voxels.
    networks
        Name -> classifier.

    Returns
    -------
    PNG, a row for each finding, and the findings of which there is such a patient.
    """
    rows, shown = [], []
    for label in drawn.labels:
        case = _first_with_both(drawn, held, label)
        if case is not None:
            rows.append(_row(case, label, networks))
            shown.append(label)
    return (draw_rows(rows) if rows else b""), tuple(shown)


def _first_with_both(drawn: CaseTable, held: CaseTable, label: str) -> Case | None:
    for case, voxels in zip(drawn.cases, held.cases, strict=True):
        if isinstance(case, PhantomCase) and case.labels[label] and CUES[label] in case.devices:
            return voxels
    return None


def _row(case: Case, label: str, networks: Mapping[str, Classifier]) -> list[Overlay]:
    from napari_hirescam.attention import explain

    volume = case.ct()
    organs = case.organs(volume)
    outline: tuple[BoolArray, ...] = ()
    if organs is not None:
        outline = (np.asarray(organs.mask(case.allowed[label]).any(axis=_FRONT)),)
    brightest = volume.voxels.max(axis=_FRONT)
    aspect = volume.spacing_mm[0] / volume.spacing_mm[2]
    row = [Overlay(f"{label}; cue: {CUES[label]}", brightest, None, outline, aspect, _GREY_HU)]
    for name, classifier in networks.items():
        found = explain(volume, classifier, methods=("hirescam",))
        strongest = found.map(label).on_grid(volume.grid, positive=True).max(axis=_FRONT)
        title = f"{name}: logit {found.logits[found.labels.index(label)]:.1f}"
        heat = np.nan_to_num(strongest)
        row.append(Overlay(title, brightest, heat, outline, aspect, _GREY_HU))
    return row
