"""All measures of the maps of one CT: the function that the window and the cohort share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention import AttentionMap, Explanation
from napari_hirescam.attention.result import PlacementName
from napari_hirescam.evaluation.lesion_overlap import LesionCounts, count_overlap
from napari_hirescam.evaluation.localisation import chance_share, share_inside
from napari_hirescam.evaluation.map_regions import MapRegions, Rule
from napari_hirescam.evaluation.organ_iou import (
    DEFINITIONS,
    CellCounts,
    count_cells,
    organ_iou,
)
from napari_hirescam.evaluation.thresholds import FrozenThresholds, Kind
from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.cells import covered_fraction
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.volume import FloatArray

_NAN = float("nan")
# A box that only shares a face with a lesion may hold a hair of it by rounding.
_HAIR = 1e-9


@dataclass(frozen=True)
class MapMeasures:
    """Measures of the map of one label by one method; NaN where one does not apply.

    Parameters
    ----------
    label, method
        Which map.
    present
        Whether the finding is there; None if nobody has said.
    logit, probability
        The label's score.
    residual, verified
        sum(map) + bias - logit, where it must be zero, and whether it is but for rounding.
    positive_sum
        Sum of the positive cells, in units of the logit.
    silent
        Whether no cell of the map is positive. Such a map points nowhere: it has no share inside
        and no hit, and its OrganIoU is not defined (0 by the reference's definition).
    organs
        Where the finding may lie; empty where nobody knows, or the finding is absent.
    threshold, threshold_reference, threshold_lesion
        Where the map was cut for the measures of that name.
    organ_iou, organ_iou_reference
        By either definition; see :mod:`~napari_hirescam.evaluation.organ_iou`.
    chance_cells
        Share of the cells that are allowed: what OrganIoU and the hit of random cells are on
        average. Where it is 0 the organs lie outside the map, or fill too little of any cell: no
        map can be right there, so that OrganIoU (corrected) and hit are not defined.
    hit
        1 if the map's strongest cell is allowed, else 0 (pointing game); of cells that tie for
        the strongest, the share that is.
    share_inside, chance_share
        Share of the positive attention inside the organs (relevance mass accuracy), and that
        of an even map.
    chance_share_body
        The same of a map that is even within the patient's body, where the organ map knows it.
    lesion_share, lesion_chance_share
        As above, inside the outlined lesion.
    lesion_hit, lesion_chance_hit
        1 if the box of the strongest cell holds any of the lesion (of cells that tie, the share),
        and the share of such cells.
    lesion_iou, lesion_iou_best
        Volume of the cells above the threshold and of the lesion in common over that in either,
        and the best that any choice of cells can reach.
    deletion, insertion
        How far the logit falls faster (rises sooner) than with random cells, as area between
        the curves; 0 is chance.
    cell_counts, lesion_counts
        What OrganIoU and IoU at every threshold follow from.
    """

    label: str
    method: str
    present: bool | None
    logit: float
    probability: float
    residual: float = _NAN
    verified: bool = False
    positive_sum: float = _NAN
    silent: bool = False
    organs: tuple[str, ...] = ()
    threshold: float = _NAN
    threshold_reference: float = _NAN
    threshold_lesion: float = _NAN
    organ_iou: float = _NAN
    organ_iou_reference: float = _NAN
    chance_cells: float = _NAN
    hit: float = _NAN
    share_inside: float = _NAN
    chance_share: float = _NAN
    chance_share_body: float = _NAN
    lesion_share: float = _NAN
    lesion_chance_share: float = _NAN
    lesion_hit: float = _NAN
    lesion_chance_hit: float = _NAN
    lesion_iou: float = _NAN
    lesion_iou_best: float = _NAN
    deletion: float = _NAN
    insertion: float = _NAN
    cell_counts: CellCounts | None = field(default=None, repr=False)
    lesion_counts: LesionCounts | None = field(default=None, repr=False)

    def curve(self, kind: Kind) -> FloatArray:
        """The measure that a kind of threshold is tuned for, at each of the 53 thresholds."""
        if kind == "lesion":
            counts = self.lesion_counts
            return np.full(1, _NAN) if counts is None else counts.iou()
        if self.cell_counts is None:
            return np.full(1, _NAN)
        if kind == "corrected" and self.chance_cells == 0:
            return np.full(1, _NAN)
        return self.cell_counts.organ_iou(kind)

    def as_row(self) -> dict[str, Any]:
        """Return plain values by name, for a table; what they follow from is in lists."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        cells, lesion = row.pop("cell_counts"), row.pop("lesion_counts")
        row["organs"] = ";".join(self.organs)
        row["cells_above"] = cells.above.tolist() if cells else None
        row["cells_above_inside"] = cells.inside.tolist() if cells else None
        row["lesion_cells_above"] = lesion.above.tolist() if lesion else None
        row["lesion_cells_above_inside"] = lesion.inside.tolist() if lesion else None
        row["lesion_volume_cells"] = lesion.lesion if lesion else _NAN
        return row


def measure_case(
    explanation: Explanation,
    organs: OrganMap | None,
    allowed: Mapping[str, tuple[str, ...]],
    *,
    present: Mapping[str, bool] | None = None,
    lesions: Mapping[str, BoolArray] | None = None,
    ct_affine: FloatArray | None = None,
    labels: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    thresholds: FrozenThresholds | float | None = None,
    placement: PlacementName | None = None,
    rule: Rule = "half",
) -> list[MapMeasures]:
    """Measure the maps of one CT.

    A label that is absent may show attention nowhere, so only the strength of its map is
    measured. Where `present` says nothing of a label, its map is measured as if it were there.

    Parameters
    ----------
    explanation
        Scores and maps.
    organs
        Organ regions of the CT; None where there are none.
    allowed
        Label -> organs it may lie in.
    present
        Label -> whether the finding is there; None if nobody knows.
    lesions
        Label -> mask of the finding itself, [slice, row, column] on the CT's grid.
    ct_affine
        Of that grid, 4x4 to (I, P, L) mm; None takes that of `organs`.
    labels, methods
        Which maps; None takes all of them.
    thresholds
        Where the maps are cut; one number serves all labels and definitions. None leaves out
        what needs a threshold.
    placement, rule
        Where cells lie, and when one counts as inside; see
        :class:`~napari_hirescam.evaluation.map_regions.MapRegions`.

    Returns
    -------
    One per label and method, labels first.

    Raises
    ------
    OrganError
        The organ map does not tell of an organ that is needed.
    ValueError
        A label or method has no map, the rule does not belong to the placement, or lesions are
        given without their grid.
    """
    regions = MapRegions(explanation, organs, placement, rule)
    if lesions and ct_affine is None:
        if organs is None:
            raise ValueError("lesions need the affine of their grid")
        ct_affine = organs.affine
    measured = []
    for label in labels or explanation.labels:
        is_there = None if present is None else present.get(label)
        where = () if is_there is False or organs is None else tuple(allowed.get(label, ()))
        lesion = None
        if lesions and ct_affine is not None and is_there is not False and label in lesions:
            lesion = _Lesion.of(lesions[label], ct_affine, regions)
        for method in methods or explanation.maps:
            attention = explanation.map(label, method, regions.placement)
            values = {"present": is_there, **_scores(explanation, attention)}
            if where:
                values |= _in_organs(attention, where, regions, thresholds)
            if lesion is not None:
                values |= _on_lesion(attention, lesion, thresholds)
            measured.append(MapMeasures(**values))
    return measured


def _scores(explanation: Explanation, attention: AttentionMap) -> dict[str, Any]:
    label, method = attention.label, attention.method
    proven = explanation.completes(method)
    return {
        "label": label,
        "method": method,
        "logit": attention.logit,
        "probability": attention.probability,
        "residual": explanation.residual(label, method) if proven else _NAN,
        "verified": explanation.verified(label, method),
        "positive_sum": float(np.maximum(attention.values, 0).sum(dtype=np.float64)),
        "silent": attention.maximum == 0,
    }


def _in_organs(
    attention: AttentionMap,
    organs: tuple[str, ...],
    regions: MapRegions,
    thresholds: FrozenThresholds | float | None,
) -> dict[str, Any]:
    cells, inside = regions.allowed(organs), regions.fraction(organs)
    positive = attention.positive()
    at = _cuts(thresholds, attention)
    values: dict[str, Any] = {
        "organs": organs,
        "threshold": at["corrected"],
        "threshold_reference": at["reference"],
        "chance_cells": float(cells.mean()),
        "hit": _hit(attention, cells) if cells.any() else _NAN,
        "share_inside": share_inside(attention.values, inside) if inside.any() else _NAN,
        "chance_share": chance_share(inside),
        "cell_counts": count_cells(positive, cells),
    }
    if regions.organs is not None and "body" in regions.organs.organs:
        values["chance_share_body"] = chance_share(inside, regions.fraction(("body",)))
    for definition in DEFINITIONS:
        name = "organ_iou" if definition == "corrected" else "organ_iou_reference"
        if not np.isnan(at[definition]) and (cells.any() or definition == "reference"):
            values[name] = organ_iou(positive, cells, at[definition], definition)
    return values


def _hit(attention: AttentionMap, cells: BoolArray) -> float:
    """Whether the strongest cell is one of these; NaN for a map that points nowhere."""
    if attention.maximum == 0:
        return _NAN
    # Cells that see nothing but air tie, and the first of them lies in a corner.
    return float(cells[attention.values == attention.values.max()].mean())


@dataclass(frozen=True)
class _Lesion:
    """What of each cell's box the lesion fills, and its volume in cells."""

    inside: npt.NDArray[np.float64]
    volume: float

    @classmethod
    def of(cls, mask: BoolArray, affine: FloatArray, regions: MapRegions) -> _Lesion:
        voxel = float(np.prod(np.diag(affine)[:3]))
        cell = float(np.prod(regions.cells.spacing_mm))
        return cls(covered_fraction(mask, affine, regions.cells), mask.sum() * voxel / cell)


def _on_lesion(
    attention: AttentionMap, lesion: _Lesion, thresholds: FrozenThresholds | float | None
) -> dict[str, Any]:
    touched = lesion.inside > _HAIR
    positive = attention.positive()
    counts = count_overlap(positive, lesion.inside, lesion.volume)
    cut = _cuts(thresholds, attention)["lesion"]
    iou = _NAN
    if not np.isnan(cut):
        iou = float(count_overlap(positive, lesion.inside, lesion.volume, (cut,)).iou()[0])
    return {
        "threshold_lesion": cut,
        "lesion_share": share_inside(attention.values, lesion.inside),
        "lesion_chance_share": chance_share(lesion.inside),
        "lesion_hit": _hit(attention, touched),
        "lesion_chance_hit": float(touched.mean()),
        "lesion_iou": iou,
        "lesion_iou_best": counts.best,
        "lesion_counts": counts,
    }


def _cuts(
    thresholds: FrozenThresholds | float | None, attention: AttentionMap
) -> dict[Kind, float]:
    def cut(kind: Kind) -> float:
        if isinstance(thresholds, FrozenThresholds):
            return thresholds.of(attention.label, attention.method, kind)
        return _NAN if thresholds is None else float(thresholds)

    return {"corrected": cut("corrected"), "reference": cut("reference"), "lesion": cut("lesion")}
