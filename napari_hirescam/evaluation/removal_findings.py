"""What removing cells, and blanking out the CT, found of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from napari_hirescam.evaluation.findings import (
    MapFacts,
    Row,
    Table,
    count_cells,
    number,
    signed,
    subject_facts,
    takes,
)
from napari_hirescam.evaluation.occlusion import OcclusionCurves
from napari_hirescam.evaluation.removal_curves import RemovalCurves, Scores
from napari_hirescam.volume import FloatArray


@dataclass(frozen=True, eq=False)
class RemovalTest:
    """Cells were set to zero."""

    key: ClassVar[str] = "removal"
    subject: MapFacts
    curves: RemovalCurves

    def sentences(self) -> tuple[str, ...]:
        """Say what was found: the headline first."""
        curves = self.curves
        count = curves.n_half or max(1, int(curves.counts[1]))
        i = curves.at(count)
        falls = curves.deletion.logits[0] - curves.deletion.logits[i]
        cells = f"the {count_cells(count, 'strongest')} of {curves.n_cells}"
        random = curves.random_deletion.logits[:, 0] - curves.random_deletion.logits[:, i]
        by_chance = f"{count_cells(count, 'random', 'A')} {takes(random.mean(), plural=count != 1)}"
        claim = float(curves.sums[i]) * (1 if falls >= 0 else -1)
        headline = (
            f"Removing {cells} {takes(falls)} the logit; the map says "
            f"{number(claim, like=falls)}. {by_chance} it on average."
        )
        lines = [headline]
        if not curves.n_half:
            lines.append("No cell of the map speaks for the label.")
        lines.append(self._verdict())
        areas = curves.area("deletion"), curves.area("insertion")
        beats = "beats chance" if min(areas) > 0 else "does not beat chance on both curves"
        lines.append(
            f"The map's order {beats} (area between the curves {signed(areas[0])} for deletion, "
            f"{signed(areas[1])} for insertion, in units of the logit)."
        )
        if not curves.replayed:
            lines.append(
                "The layers above cannot be run by themselves, so each point took a whole "
                "forward pass, and there are few of them."
            )
        return tuple(lines)

    def _verdict(self) -> str:
        curves = self.curves
        gap = number(curves.largest_departure)
        if curves.adds_up:
            says = f"Every cell takes with it what the map says (largest departure {gap})"
            if self.subject.promised:
                return f"{says}: the map is exact."
            return f"{says}, although this is not guaranteed."
        if self.subject.promised:
            return (
                f"The logit departs from the sum of the map by up to {gap}, although it should "
                "not: do not trust this map."
            )
        return (
            f"The logit departs from the sum of the map by up to {gap} "
            f"(its largest change is {number(curves.largest_change)}): {self.subject.reason}."
        )

    def table(self) -> Table:
        """Each point of each curve."""
        curves = self.curves
        rows: list[Row] = []
        rows += _rows("deletion", curves, curves.deletion, curves.predicted_deletion)
        rows += _rows("insertion", curves, curves.insertion, curves.predicted_insertion)
        predicted = curves.deletion.logits[0] - curves.random_sums
        for r, map_says in enumerate(predicted):
            one = Scores(curves.random_deletion.logits[r], curves.random_deletion.probabilities[r])
            rows += _rows(f"random deletion {r + 1}", curves, one, map_says)
        header = ("curve", "cells", "share_of_cells", "logit", "probability", "logit_by_map")
        return header, rows

    def facts(self) -> dict[str, Any]:
        """Everything but the curves, as plain JSON values."""
        curves = self.curves
        return {
            **subject_facts(self.subject),
            "test": "removal of cells (deletion and insertion)",
            "n_cells": curves.n_cells,
            "cells_with_half_of_the_positive_attention": curves.n_half,
            "random_orders": len(curves.random_deletion.logits),
            "largest_departure": curves.largest_departure,
            "largest_change_of_logit": curves.largest_change,
            "adds_up": curves.adds_up,
            "area_deletion_logit": curves.area("deletion"),
            "area_insertion_logit": curves.area("insertion"),
            "area_deletion_probability": curves.area("deletion", "probability"),
            "area_insertion_probability": curves.area("insertion", "probability"),
            "head_replayed": curves.replayed,
            "sentences": self.sentences(),
        }


@dataclass(frozen=True, eq=False)
class OcclusionTest:
    """Boxes of the CT were blanked out."""

    key: ClassVar[str] = "occlusion"
    subject: MapFacts
    curves: OcclusionCurves

    def sentences(self) -> tuple[str, ...]:
        """Say what was found: the headline first."""
        curves = self.curves
        count = min(curves.n_half, int(curves.counts[-1])) or int(curves.counts[1])
        i = curves.counts.tolist().index(count)
        here, random = curves.strongest, curves.random
        falls = here.logits[0] - here.logits[i]
        falls_random = (random.logits[:, 0] - random.logits[:, i]).mean()
        box = " \N{MULTIPLICATION SIGN} ".join(f"{side:.3g}" for side in curves.box_mm)
        put = "their own mean" if curves.fill == "mean" else "air"
        headline = (
            f"Replacing the CT around the {count_cells(count, 'strongest')} (boxes of {box} mm) by "
            f"{put} {takes(falls)} the logit, probability {here.probabilities[0]:.3f} to "
            f"{here.probabilities[i]:.3f}; around {count_cells(count, 'random', 'a')} it "
            f"{takes(falls_random)} it, to {random.probabilities[:, i].mean():.3f}."
        )
        more = "more" if curves.mean_gap() > 0 else "no more"
        lines = [headline]
        lines.append(
            f"Blanking where the map points hurts {more} than chance (the curves lie "
            f"{signed(curves.mean_gap())} of the logit apart on average)."
        )
        if curves.n_inside < curves.n_cells:
            lines.append(
                f"{curves.n_cells - curves.n_inside} of {curves.n_cells} cells lie outside the CT "
                f"and are left out; {curves.share_outside:.0%} of the positive attention is there."
            )
        return tuple(lines)

    def table(self) -> Table:
        """Each point of each curve."""
        curves = self.curves
        rows: list[Row] = _score_rows("strongest", curves.counts, curves.n_inside, curves.strongest)
        for r in range(len(curves.random.logits)):
            one = Scores(curves.random.logits[r], curves.random.probabilities[r])
            rows += _score_rows(f"random {r + 1}", curves.counts, curves.n_inside, one)
        return ("curve", "boxes", "share_of_cells", "logit", "probability"), rows

    def facts(self) -> dict[str, Any]:
        """Everything but the curves, as plain JSON values."""
        curves = self.curves
        return {
            **subject_facts(self.subject),
            "test": "occlusion of the input",
            "fill": curves.fill,
            "box_mm": list(curves.box_mm),
            "n_cells": curves.n_cells,
            "n_cells_inside_ct": curves.n_inside,
            "share_of_positive_attention_outside_ct": curves.share_outside,
            "random_orders": len(curves.random.logits),
            "mean_gap_logit": curves.mean_gap(),
            "mean_gap_probability": curves.mean_gap("probability"),
            "sentences": self.sentences(),
        }


def _rows(curve: str, curves: RemovalCurves, scores: Scores, map_says: FloatArray) -> list[Row]:
    rows = _score_rows(curve, curves.counts, curves.n_cells, scores)
    return [(*row, float(says)) for row, says in zip(rows, map_says, strict=True)]


def _score_rows(curve: str, counts: Any, n_cells: int, scores: Scores) -> list[Row]:
    return [
        (curve, int(count), float(count / n_cells), float(logit), float(probability))
        for count, logit, probability in zip(
            counts, scores.logits, scores.probabilities, strict=True
        )
    ]
