"""The paper's four-way table: its means, the gain of the mask loss, and its intervals."""

from __future__ import annotations

import re

import numpy as np
import pytest

from napari_hirescam.evaluation.case_measures import MapMeasures
from napari_hirescam.evaluation.cohort import CohortResult
from napari_hirescam.evaluation.cohort_case import MeasuredCase
from napari_hirescam.reproduce import four_way

pytest.importorskip("pandas")

LABELS = ("mass", "effusion")
NAN = float("nan")


def case(name, iou, *, patient=None, gradcam=None, present=(True, True), logits=(1.0, -1.0)):
    """Make a case of which these are the OrganIoU of its labels' maps."""
    rows = []
    for method, values in (("hirescam", iou), ("gradcam", gradcam or iou)):
        for label, value, there, logit in zip(LABELS, values, present, logits, strict=True):
            rows.append(
                MapMeasures(
                    label,
                    method,
                    there,
                    logit,
                    0.5,
                    organs=("lungs",),
                    organ_iou=value,
                    organ_iou_reference=value / 2,
                    share_inside=value,
                    chance_share=0.25,
                    hit=1.0,
                    chance_cells=0.25,
                )
            )
    return MeasuredCase(
        name, patient or name, "test", name, "stretch", (1.0, 1.0, 1.0), "holds", tuple(rows)
    )


def result(*cases):
    return CohortResult("t", "test", LABELS, ("hirescam", "gradcam"), cases, (), None, (), None, {})


def compared(first, last, **options):
    return four_way.Compared({"none": result(*first), "mask loss": result(*last)}, **options)


def test_the_gain_is_that_of_the_means_over_all_pairs():
    first = [case("a", (0.2, 0.4)), case("b", (0.6, NAN))]  # mean of three: 0.4
    last = [case("a", (0.5, 0.5)), case("b", (0.8, 0.6))]  # mean of four: 0.6
    difference, relative = four_way.gain(compared(first, last))
    assert difference.value == pytest.approx(0.2)
    assert relative.value == pytest.approx(0.5)
    assert relative.n == 2


def test_only_labels_that_are_present_count():
    first = [case("a", (0.2, 0.9), present=(True, False))]
    last = [case("a", (0.3, 0.1), present=(True, False))]
    assert four_way.gain(compared(first, last))[1].value == pytest.approx(0.5)


def test_a_case_that_one_network_could_not_be_measured_on_is_left_out_of_the_gain():
    first = [case("a", (0.2, 0.2)), case("b", (0.9, 0.9))]
    last = [case("a", (0.4, 0.4))]
    assert four_way.gain(compared(first, last))[1].value == pytest.approx(1.0)
    none = four_way.gain(compared([case("a", (0.2, 0.2))], [case("b", (0.4, 0.4))]))
    assert np.isnan(none[1].value)
    assert "no case" in none[1].note


def test_a_gain_that_every_patient_shows_has_no_interval_about_zero():
    rng = np.random.default_rng(0)
    before = rng.uniform(0.2, 0.6, (30, 2))
    first = [case(f"c{k}", tuple(v)) for k, v in enumerate(before)]
    last = [case(f"c{k}", tuple(1.5 * v)) for k, v in enumerate(before)]
    difference, relative = four_way.gain(compared(first, last))
    assert relative.value == pytest.approx(0.5)
    # Half more in each patient: all draws agree, and an interval would have no width.
    assert np.isnan([relative.low, relative.high]).all()
    assert "interval" not in four_way.gain_sentence(compared(first, last))
    assert 0 < difference.low < difference.value < difference.high


def test_patients_and_not_cases_are_drawn():
    values = [(0.2, 0.2)] * 10 + [(0.6, 0.6)] * 10
    many = [case(f"c{k}", v) for k, v in enumerate(values)]
    two = [case(f"c{k}", v, patient=f"p{k // 10}") for k, v in enumerate(values)]
    flat = [case(f"c{k}", (0.4, 0.4), patient=f"p{k // 10}") for k in range(20)]
    of_cases, _ = four_way.gain(compared(many, [case(f"c{k}", (0.4, 0.4)) for k in range(20)]))
    of_patients, _ = four_way.gain(compared(two, flat))
    assert of_patients.high - of_patients.low == pytest.approx(0.4)
    assert of_cases.high - of_cases.low < 0.25


def test_the_table_has_a_row_for_each_measure_and_network_and_a_column_for_each_method():
    both = compared(
        [case("a", (0.25, 0.75), gradcam=(0.1, 0.3))], [case("a", (0.5, 1.0), gradcam=(0.2, 0.2))]
    )
    table = four_way.attention_table(both, both.summaries())
    assert table.header == ("measure", "network", "HiResCAM", "Grad-CAM", "chance", "pairs")
    rows = {row[:2]: row[2:] for row in table.rows}
    found = rows[("OrganIoU, corrected", "none")]
    assert found == ("0.500", "0.200", 0.25, 2)  # of a single patient: no interval
    assert rows[("OrganIoU, corrected", "mask loss")][0].startswith("0.750")
    assert rows[("OrganIoU, as in the reference", "mask loss")][0].startswith("0.375")


def test_scores_have_no_auroc_where_all_cases_are_alike():
    cases = [
        case("a", (0.5, 0.5), present=(True, True)),
        case("b", (0.5, 0.5), present=(False, True)),
    ]
    both = compared(cases, cases)
    summaries = both.summaries()
    (row, _) = four_way.score_table(both, summaries).rows
    assert row[0] == "none"
    assert row[-1] == 2
    by_label = four_way.label_table(summaries)
    assert by_label.header[1:3] == ("OrganIoU, none", "OrganIoU, mask loss")
    effusion = next(row for row in by_label.rows if row[0] == "effusion")
    assert np.isnan(effusion[3])


@pytest.mark.parametrize(
    ("after", "words"),
    [(0.6, "raises the mean OrganIoU .* by 20%"), (0.4, "lowers the mean .* by 20%")],
)
def test_the_sentence_says_up_or_down_as_measured(after, words):
    both = compared([case("a", (0.5, 0.5))], [case("a", (after, after))])
    assert re.search(words, four_way.gain_sentence(both))


def test_a_network_that_points_nowhere_is_said_and_not_counted_as_nought():
    both = compared([case("a", (NAN, NAN))], [case("a", (0.5, 0.5))])
    assert "could not be compared" in four_way.gain_sentence(both)
    figures = four_way.figures(both, both.summaries())
    assert np.isnan(figures["mask loss against none"]["hirescam organ_iou"]["relative"]["value"])
