"""The table of labels: what it shows, how it sorts, what ticking does."""

from __future__ import annotations

import pytest
from plugin_cases import make_explanation
from qtpy.QtCore import Qt

from napari_hirescam.plugin.label_model import (
    LABEL,
    LOGIT,
    PROBABILITY,
    LabelFilter,
    LabelTableModel,
)

CHECK = Qt.ItemDataRole.CheckStateRole
ON, OFF = Qt.CheckState.Checked, Qt.CheckState.Unchecked


@pytest.fixture
def model(qapp) -> LabelTableModel:
    return LabelTableModel(lambda label: "#ff0000" if label == "mass" else None)


def _column(table, column: int) -> list[str]:
    return [table.index(row, column).data() for row in range(table.rowCount())]


def test_labels_of_a_model_that_was_not_run_have_no_score_and_no_check_box(model):
    model.set_labels(["nodule", "mass"])
    assert _column(model, PROBABILITY) == ["–", "–"]  # noqa: RUF001
    assert model.index(0, LABEL).data(CHECK) is None
    assert not model.setData(model.index(0, LABEL), ON, CHECK)
    assert model.ticked == ()


def test_scores_stand_beside_their_labels(model):
    explanation = make_explanation()
    model.set_explanation(explanation)
    assert _column(model, LABEL) == ["nodule", "mass", "effusion"]
    assert _column(model, LOGIT) == [f"{z:+.2f}" for z in explanation.logits]
    assert _column(model, PROBABILITY) == [f"{p:.3f}" for p in explanation.probabilities]


def test_the_most_probable_label_is_ticked_after_a_run(model):
    model.set_explanation(make_explanation())
    assert model.ticked == ("effusion",)


def test_ticks_survive_a_second_run_of_the_same_labels(model):
    model.set_explanation(make_explanation())
    model.set_ticked(["nodule", "mass"])
    model.set_explanation(make_explanation())
    assert model.ticked == ("nodule", "mass")


def test_ticking_tells_once_and_keeps_the_order_of_ticking(model, qtbot):
    model.set_explanation(make_explanation())
    with qtbot.waitSignal(model.ticks_changed):
        model.setData(model.index_of("nodule"), ON, CHECK)
    assert model.ticked == ("effusion", "nodule")
    model.setData(model.index_of("effusion"), OFF, CHECK)
    assert model.ticked == ("nodule",)
    assert model.index_of("effusion").data(CHECK) == OFF


def test_only_ticked_labels_carry_the_colour_of_their_map(model):
    model.set_explanation(make_explanation())
    decoration = Qt.ItemDataRole.DecorationRole
    assert model.index_of("mass").data(decoration) is None
    model.set_ticked(["mass"])
    assert model.index_of("mass").data(decoration).name() == "#ff0000"


def test_rows_sort_by_value_and_not_by_text(model):
    # As text "-10.00" would come before "+2.00" and after it when falling.
    explanation = make_explanation()
    explanation.logits[:] = (-10.0, 2.0, 10.0)
    explanation.probabilities[:] = (0.0000454, 0.88, 0.99995)
    model.set_explanation(explanation)
    proxy = LabelFilter(model)
    assert _column(proxy, LABEL) == ["effusion", "mass", "nodule"]
    proxy.sort(LOGIT, Qt.SortOrder.AscendingOrder)
    assert _column(proxy, LABEL) == ["nodule", "mass", "effusion"]


def test_the_filter_finds_part_of_a_name_in_either_case(model):
    model.set_explanation(make_explanation())
    proxy = LabelFilter(model)
    proxy.setFilterFixedString("FUS")
    assert _column(proxy, LABEL) == ["effusion"]
