"""Thresholds are tuned as the reference does, frozen, and refused where they do not belong."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from cohort_cases import bright_and_dark, case, study
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hirescam.errors import SettingsError
from napari_hirescam.evaluation.case_measures import MapMeasures
from napari_hirescam.evaluation.organ_iou import THRESHOLDS, CellCounts, count_cells
from napari_hirescam.evaluation.thresholds import (
    FrozenThresholds,
    TunedThreshold,
    digest,
    network_digest,
    scan_digest,
    tune,
    tuned_on,
)


def measured(values, allowed, label="bright", method="hirescam", present=True) -> MapMeasures:
    cells = count_cells(np.array(values, dtype=np.float64), np.array(allowed, dtype=bool))
    return MapMeasures(label, method, present, 0.0, 0.5, cell_counts=cells)


LEAKS_BELOW_HALF = measured([1.0, 0.8, 0.5], [1, 1, 0])
NEVER_LEAKS = measured([1.0, 0.8, 0.0], [1, 1, 0])


def test_the_threshold_that_shuts_the_leak_is_chosen_and_of_equals_the_first():
    chosen = tune([LEAKS_BELOW_HALF], ["bright"])["hirescam"]["corrected"]["bright"]
    # From 0.5 on only allowed cells are above: 0.5 to 0.98 all score 1.
    assert chosen == TunedThreshold(threshold=0.5, mean=1.0, n=1)


def test_the_reference_prefers_that_some_attention_leaks():
    chosen = tune([LEAKS_BELOW_HALF], ["bright"])["hirescam"]["reference"]["bright"]
    assert chosen == TunedThreshold(threshold=0.004, mean=2 / 3, n=1)


def test_a_tie_is_not_decided_by_the_last_bit():
    def map_with(low: int, high: int) -> MapMeasures:
        """So many tenths of the cells are inside at low thresholds, and at high ones."""
        inside = np.array([low] * 10 + [high] * 43)
        return replace(NEVER_LEAKS, cell_counts=CellCounts(inside, np.full(53, 10)))

    assert sum([0.1, 0.2, 0.3]) > sum([0.3, 0.2, 0.1])
    rows = [map_with(3, 1), map_with(2, 2), map_with(1, 3)]
    chosen = tune(rows, ["bright"])["hirescam"]["corrected"]["bright"]
    assert chosen.threshold == THRESHOLDS[0]


def test_maps_of_absent_labels_have_no_say():
    rows = [LEAKS_BELOW_HALF, measured([1.0, 0.1], [0, 1], present=False)]
    assert tune(rows, ["bright"])["hirescam"]["corrected"]["bright"].n == 1


def test_a_label_that_nobody_has_takes_the_threshold_of_all_together():
    chosen = tune([LEAKS_BELOW_HALF, NEVER_LEAKS], ["bright", "rare"])["hirescam"]["corrected"]
    assert chosen["rare"] == TunedThreshold(threshold=0.5, mean=1.0, n=2, pooled=True)
    assert not chosen["bright"].pooled


def test_methods_are_tuned_apart():
    other = measured([1.0, 0.3], [1, 0], method="gradcam")
    chosen = tune([LEAKS_BELOW_HALF, other], ["bright"])
    assert chosen["hirescam"]["corrected"]["bright"].threshold == 0.5
    assert chosen["gradcam"]["corrected"]["bright"].threshold == 0.3


def test_where_no_map_can_be_judged_there_is_no_threshold():
    silent = replace(NEVER_LEAKS, cell_counts=CellCounts(*np.zeros((2, 53), dtype=np.int64)))
    assert "corrected" not in tune([silent], ["bright"])["hirescam"]
    bare = replace(NEVER_LEAKS, cell_counts=None)
    assert tune([bare], ["bright"])["hirescam"] == {}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.lists(st.sampled_from([0.0, 0.01, 0.3, 0.5, 1.0]), min_size=6, max_size=6),
            st.lists(st.booleans(), min_size=6, max_size=6),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_tuning_reproduces_the_reference_procedure(maps):
    rows = [measured(values, allowed, label) for label, values, allowed in maps]
    chosen = tune(rows, ["a", "b"])["hirescam"]["reference"]
    for wanted in {label for label, *_ in maps}:
        means = []
        for threshold in THRESHOLDS:
            scores = []
            for label, values, allowed in maps:
                if label != wanted:
                    continue
                inside = sum(v > threshold for v, a in zip(values, allowed, strict=True) if a)
                leaks = sum(v > threshold for v, a in zip(values, allowed, strict=True) if not a)
                both = inside != 0 and leaks != 0
                scores.append(inside / (inside + leaks) if both else 0)
            means.append(round(sum(scores) / len(scores), 12))
        assert chosen[wanted].threshold == THRESHOLDS[means.index(max(means))]


@pytest.fixture
def frozen() -> FrozenThresholds:
    classifier = bright_and_dark()
    tuning = study(case("seen", "valid", {(0, 0, 2): 1.0}, bright=True))
    return FrozenThresholds(
        model="test model",
        network_sha256=network_digest(classifier),
        target_layer="see",
        placement="receptive_field",
        rule="half",
        tuned_on=tuned_on(tuning, [scan_digest(tuning.cases[0].ct())]),
        values=tune([LEAKS_BELOW_HALF], ["bright"]),
    )


def test_the_file_reads_back_as_it_was_and_names_nobody(frozen, tmp_path):
    file = tmp_path / "thresholds.json"
    frozen.save(file)
    assert FrozenThresholds.load(file) == frozen
    assert frozen.of("bright", "hirescam") == 0.5
    assert np.isnan(frozen.of("bright", "gradcam"))
    assert "seen" not in file.read_text().replace("tuned", "")
    with pytest.raises(SettingsError, match="cannot be written"):
        frozen.save(file)


def test_the_same_patient_or_case_is_refused_for_testing(frozen):
    frozen.refuse_cases(study(case("new", "test", {}, bright=True)))
    same_case = case("seen", "test", {}, bright=True, patient="somebody else")
    with pytest.raises(SettingsError, match=r"1 of its 1 cases, .* were used for tuning"):
        frozen.refuse_cases(study(same_case))
    same_patient = case("new", "test", {}, bright=True, patient="patient of seen")
    with pytest.raises(SettingsError, match="were used for tuning"):
        frozen.refuse_cases(study(same_patient))


def test_the_same_scan_is_known_again_under_another_name(frozen):
    copy = case("copy", "test", {(0, 0, 2): 1.0}, bright=True).ct()
    with pytest.raises(SettingsError, match="under another name"):
        frozen.refuse_scan("copy", scan_digest(copy))
    other = case("other", "test", {(0, 0, 2): 0.999}, bright=True).ct()
    frozen.refuse_scan("other", scan_digest(other))


def test_another_network_layer_or_rule_is_refused(frozen):
    mine = network_digest(bright_and_dark())
    frozen.refuse_other_network(mine, "see", "receptive_field", "half")
    other = network_digest(bright_and_dark(gain=1.01))
    for wrong, words in (
        ((other, "see", "receptive_field", "half"), "another weights"),
        ((mine, "conv", "receptive_field", "half"), "another target layer"),
        ((mine, "see", "stretch", "half"), "another placement"),
        ((mine, "see", "receptive_field", "touch"), "another rule"),
    ):
        with pytest.raises(SettingsError, match=words):
            frozen.refuse_other_network(*wrong)


def test_a_method_that_was_not_tuned_is_refused(frozen):
    with pytest.raises(SettingsError, match="not tuned for gradcam"):
        frozen.refuse_methods(["hirescam", "gradcam"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format"),
        ({"values": {"hirescam": {"corrected": {"bright": {"threshold": 1.5}}}}}, "threshold"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_file_that_is_none_is_refused_by_the_fields_name(frozen, tmp_path, change, words):
    file = tmp_path / "thresholds.json"
    file.write_text(json.dumps(json.loads(frozen.as_json()) | change))
    with pytest.raises(SettingsError, match=f"no file of frozen thresholds: .*{words}"):
        FrozenThresholds.load(file)


def test_a_file_that_is_missing_or_no_json_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        FrozenThresholds.load(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("thresholds")
    with pytest.raises(SettingsError, match="no file of frozen thresholds"):
        FrozenThresholds.load(tmp_path / "text.json")


def test_a_digest_tells_nothing_but_equality():
    assert digest("case 1") == digest("case 1")
    assert digest("case 1") != digest("case 2")
