"""One case of a cohort: read, explained, measured, and forgotten but for its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from napari_hirescam.attention import Explanation, explain
from napari_hirescam.attention.result import PlacementName
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.cases import Case, Split
from napari_hirescam.errors import HirescamError, InputError, OrganError
from napari_hirescam.evaluation.case_measures import MapMeasures, measure_case
from napari_hirescam.evaluation.gallery import Gallery, Snapshot, snapshot
from napari_hirescam.evaluation.map_regions import Rule
from napari_hirescam.evaluation.thresholds import FrozenThresholds, scan_digest
from napari_hirescam.organs import OrganMap, find_organs
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.volume import Volume

if TYPE_CHECKING:
    from napari_hirescam.models import Classifier

#: Points and random orders of a removal test: its area is a mean over a cohort, not one curve.
_REMOVAL_STEPS = 10
_REMOVAL_ORDERS = 3


@dataclass(frozen=True)
class CaseProblem:
    """What was wrong with a case.

    `measured` says what became of it: "nothing", "scores" (its scores count, its maps do not),
    or "all" (all counts; there is a doubt, or something was mended).
    """

    case: str
    split: Split | None
    reason: str
    measured: str


@dataclass(frozen=True)
class MeasuredCase:
    """Figures of one case.

    Parameters
    ----------
    name, patient, split
        As in the table.
    scan
        Digest of its CT.
    placement
        Where its cells were taken to lie.
    cell_mm
        Size of a cell along (I, P, L).
    guarantee
        Whether the maps add up to the scores, and why.
    rows
        One per label that is known of it, and method.
    """

    name: str
    patient: str
    split: Split | None
    scan: str
    placement: PlacementName
    cell_mm: tuple[float, float, float]
    guarantee: str
    rows: tuple[MapMeasures, ...]


@dataclass(frozen=True)
class CaseMeasurer:
    """How every case of a cohort is measured; see
    :func:`~napari_hirescam.evaluation.cohort.evaluate_cohort`.
    """  # noqa: D205

    classifier: Classifier
    labels: tuple[str, ...]
    methods: tuple[str, ...]
    usual: Mapping[str, tuple[str, ...]]
    rule: Rule
    find_missing_organs: bool = False
    removal: bool = False
    prepared: bool = False

    def measure(
        self,
        case: Case,
        placement: PlacementName | None,
        thresholds: FrozenThresholds | None,
        gallery: Gallery | None,
        progress: Progress,
        should_stop: ShouldStop,
    ) -> tuple[MeasuredCase, list[CaseProblem]]:
        """Measure one case; the second is what speaks against it.

        Raises
        ------
        HirescamError
            It cannot be read or explained.
        SettingsError
            Its CT is one of those the thresholds were tuned on.
        Cancelled
            `should_stop` said so.
        """
        volume = case.ct()
        scan = scan_digest(volume)
        if thresholds is not None:
            thresholds.refuse_scan(case.name, scan)
        explanation = explain(
            volume,
            self.classifier,
            methods=self.methods,
            prepared=self.prepared,
            progress=progress,
            should_stop=should_stop,
        )
        where = placement or explanation.default_placement
        if where not in explanation.affines:
            raise InputError("placement", explanation.placement_note, "Ask for placement 'stretch'")
        organs, problems = self._organs(case, volume, should_stop)
        mended = volume.source.notes if volume.source else ()
        problems += [CaseProblem(case.name, case.split, f"CT: {text}", "all") for text in mended]
        lesions = case.lesions(volume)
        present = {label: case.labels[label] for label in self.labels if label in case.labels}
        allowed = self._allowed(case, present)
        measured = measure_case(
            explanation,
            organs,
            allowed,
            present=present,
            lesions=lesions,
            ct_affine=volume.affine,
            labels=tuple(present),
            methods=[key for key in self.methods if key in explanation.maps],
            thresholds=thresholds,
            placement=where,
            rule=self.rule,
        ) if present else []  # fmt: skip
        problems += _without_cells(case, measured)
        if self.removal:
            measured = [
                self._removed(row, volume, explanation, should_stop) if row.present else row
                for row in measured
            ]
        if gallery is not None and organs is not None:
            picture = partial(_picture, case.name, volume, explanation, where, organs, lesions)
            _offer(gallery, measured, picture)
        state = explanation.guarantee
        return (
            MeasuredCase(
                name=case.name,
                patient=case.patient,
                split=case.split,
                scan=scan,
                placement=where,
                cell_mm=explanation.cell_mm(where),
                guarantee=f"{state.state.value}: {state.reason}",
                rows=tuple(measured),
            ),
            problems,
        )

    def _allowed(self, case: Case, present: Mapping[str, bool]) -> dict[str, tuple[str, ...]]:
        """Organs of the labels that are there; a label without one was refused before."""
        return {
            label: case.organs_of(label, self.usual)
            for label, is_there in present.items()
            if is_there and (case.allowed.get(label) or self.usual.get(label))
        }

    def _organs(
        self, case: Case, volume: Volume, should_stop: ShouldStop
    ) -> tuple[OrganMap | None, list[CaseProblem]]:
        try:
            organs = case.organs(volume)
            if organs is None and self.find_missing_organs:
                organs = find_organs(volume, should_stop=should_stop)
        except HirescamError as exc:
            # Its scores are as good as any other's.
            return None, [CaseProblem(case.name, case.split, f"organs: {exc.reason}", "scores")]
        if organs is None:
            reason = "organs: it has no masks"
            return None, [CaseProblem(case.name, case.split, reason, "scores")]
        missing = self._missing(case, organs)
        if missing:
            reason = f"organs: {organs.origin} does not tell of {', '.join(missing)}"
            return None, [CaseProblem(case.name, case.split, reason, "scores")]
        told = [f"organs by {organs.origin}: {text}" for text in (*organs.doubts, *organs.notes)]
        return organs, [CaseProblem(case.name, case.split, text, "all") for text in told]

    def _missing(self, case: Case, organs: OrganMap) -> list[str]:
        present = {label: True for label in self.labels if case.labels.get(label)}
        needed = {organ for names in self._allowed(case, present).values() for organ in names}
        return sorted(needed - set(organs.organs))

    def _removed(
        self,
        row: MapMeasures,
        volume: Volume,
        explanation: Explanation,
        should_stop: ShouldStop,
    ) -> MapMeasures:
        from napari_hirescam.evaluation.explanation_tests import removal_test

        found = removal_test(
            volume,
            self.classifier,
            row.label,
            row.method,
            explanation=explanation,
            steps=_REMOVAL_STEPS,
            n_random=_REMOVAL_ORDERS,
            should_stop=should_stop,
        )
        return replace(
            row, deletion=found.curves.area("deletion"), insertion=found.curves.area("insertion")
        )

    def show_again(
        self, gallery: Gallery, case: Case, measured: MeasuredCase, should_stop: ShouldStop
    ) -> None:
        """Offer the maps of a case whose figures are known; explains it if a picture is wanted."""

        def take(rows: list[MapMeasures]) -> Snapshot:
            volume = case.ct()
            explanation = explain(
                volume,
                self.classifier,
                methods=self.methods,
                prepared=self.prepared,
                should_stop=should_stop,
            )
            organs, _problems = self._organs(case, volume, should_stop)
            if organs is None:
                raise OrganError(case.name, "its organs are gone", "Give its masks again")
            return _picture(
                case.name, volume, explanation, measured.placement, organs,
                case.lesions(volume), rows,
            )  # fmt: skip

        _offer(gallery, measured.rows, take)


def _without_cells(case: Case, measured: Sequence[MapMeasures]) -> list[CaseProblem]:
    """Labels whose organs no cell lies in: the network sees too little of them."""
    labels = {row.label: ", ".join(row.organs) for row in measured if row.chance_cells == 0}
    return [
        CaseProblem(
            case.name,
            case.split,
            f"{label}: no cell of the map lies in {organs}, so there is no OrganIoU",
            "all",
        )
        for label, organs in labels.items()
    ]


def _offer(
    gallery: Gallery,
    measured: Sequence[MapMeasures],
    take: Callable[[list[MapMeasures]], Snapshot],
) -> None:
    """Offer the maps of each label that is there; the first method decides."""
    by_label: dict[str, list[MapMeasures]] = {}
    for row in measured:
        if row.present and row.organs:
            by_label.setdefault(row.label, []).append(row)
    for label, rows in by_label.items():
        gallery.offer(label, rows[0].share_inside, partial(take, rows))


def _picture(
    case: str,
    volume: Volume,
    explanation: Explanation,
    placement: PlacementName,
    organs: OrganMap,
    lesions: Mapping[str, BoolArray],
    rows: list[MapMeasures],
) -> Snapshot:
    label = rows[0].label
    return snapshot(
        case,
        volume,
        {row.method: explanation.map(label, row.method, placement) for row in rows},
        organs.mask(rows[0].organs),
        lesions.get(label),
        organs=rows[0].organs,
        shares={row.method: row.share_inside for row in rows},
        chance=rows[0].chance_share,
    )
