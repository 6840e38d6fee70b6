"""Choosing the target layer: the table, the dialog, and what a new layer makes of old maps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from networks import ConvThenLinear, classifier_of, plain_input, random_ct
from plugin_cases import load_model, make_model, map_names, run
from qtpy.QtCore import Qt
from test_share_seen import classifier as window_classifier

from napari_hirescam import explain
from napari_hirescam.attention import Guarantee, GuaranteeState, examine_target_layer
from napari_hirescam.attention.layers import LayerCandidate
from napari_hirescam.errors import ModelFileError
from napari_hirescam.plugin.layer_dialog import LayerDialog
from napari_hirescam.plugin.layer_table import (
    CELL_MM,
    CELLS,
    CHANNELS,
    FIELD_MM,
    GUARANTEE,
    NAME,
    LayerTable,
)
from napari_hirescam.plugin.model_facts import describe_model
from napari_hirescam.plugin.target_layer import at_layer
from napari_hirescam.plugin.verdict import EXACT, LOCAL

pytest_plugins = ["plugin_window"]


def _candidate(name: str, channels: int, *, exact: bool, **more: object) -> LayerCandidate:
    state = GuaranteeState.EXACT if exact else GuaranteeState.LOCAL
    facts = {
        "cells": (4, 6, 6),
        "cell_mm": (20.0, 5.6, 5.6),
        "receptive_field_mm": (90.0, 25.3, 25.3),
        "placement_note": "",
        "kind": "Conv3d",
    }
    guarantee = Guarantee(state, f"what lies after {name}")
    return LayerCandidate(
        **{**facts, "guarantee": guarantee, "channels": channels, "name": name, **more}
    )


CANDIDATES = (
    _candidate("stem", 16, exact=False),
    _candidate("block10", 8, exact=False, cell_mm=None, receptive_field_mm=None),
    _candidate("block9", 64, exact=True, preferred=True),
    _candidate("pool", 64, exact=True),
)


@pytest.fixture
def table(qtbot) -> LayerTable:
    table = LayerTable()
    qtbot.addWidget(table)
    table.set_candidates(CANDIDATES)
    return table


def _column(table: LayerTable, column: int) -> list[str]:
    model = table.view.model()
    return [model.index(row, column).data() for row in range(model.rowCount())]


def test_the_preferred_layer_is_marked_and_selected(table):
    assert table.chosen == "block9"
    assert _column(table, NAME) == ["stem", "block10", "★ block9", "pool"]


def test_the_layer_in_use_is_selected_instead(table):
    table.set_candidates(CANDIDATES, "stem")
    assert table.chosen == "stem"


def test_each_row_says_what_holds_there_and_how_coarse_it_is(table):
    assert _column(table, GUARANTEE)[0] == f"{LOCAL.symbol} {LOCAL.words}"
    assert _column(table, GUARANTEE)[2] == f"{EXACT.symbol} {EXACT.words}"
    assert "20" in _column(table, CELL_MM)[0]
    assert "25.3" in _column(table, FIELD_MM)[0]
    unknown = table.view.model().index(1, CELL_MM)
    assert "own spacing" in unknown.data(Qt.ItemDataRole.ToolTipRole)
    reason = table.view.model().index(0, GUARANTEE).data(Qt.ItemDataRole.ToolTipRole)
    assert "what lies after stem" in reason
    assert LOCAL.why in reason


def test_cells_along_the_slices_are_not_counted_where_the_ct_decides(table):
    assert _column(table, CELLS)[0].startswith("4 ")
    table.set_candidates(CANDIDATES, any_slices=True)
    assert _column(table, CELLS)[0].startswith("n ")


def test_rows_sort_by_number_and_names_by_their_place_in_the_network(table):
    table.view.sortByColumn(CHANNELS, Qt.SortOrder.AscendingOrder)
    assert _column(table, CHANNELS) == ["8", "16", "64", "64"]
    table.view.sortByColumn(NAME, Qt.SortOrder.DescendingOrder)
    assert _column(table, NAME) == ["pool", "★ block9", "block10", "stem"]


def test_the_filter_finds_names_and_guarantees(table):
    table.filter_line.setText("BLOCK")
    assert _column(table, NAME) == ["block10", "★ block9"]
    table.filter_line.setText("exact")
    assert _column(table, NAME) == ["★ block9", "pool"]


def test_the_dialog_lists_the_layers_of_a_network_and_takes_any_name(qtbot, ready):
    dialog = LayerDialog(ready.model.classifier, ready._open_volume())
    qtbot.addWidget(dialog)
    qtbot.waitUntil(lambda: not dialog.busy)
    assert dialog.chosen == "conv2d.1"
    names = {dialog.table.model.candidate(k).name for k in range(dialog.table.model.rowCount())}
    assert {"conv2d.0", "conv2d.1"} <= names
    chosen = dialog.table.candidate("conv2d.1")
    assert chosen.guarantee.holds
    dialog.name.setText("something.else")
    assert dialog.use.isEnabled()
    dialog.name.setText(" ")
    assert not dialog.use.isEnabled()


def _choose(qtbot, widget, name: str) -> None:
    widget.model.choose_layer(name)
    qtbot.waitUntil(lambda: not widget.model.busy, timeout=10000)


def test_maps_of_another_layer_are_named_so_until_the_next_run(qtbot, done, viewer):
    top = done.labels.ticked[0]
    before = done.explanation
    assert done.run_panel.notices_text == ""
    _choose(qtbot, done, "conv2d.0")
    assert "conv2d.0" in done.model.facts_text
    assert done.explanation is before
    assert "of conv2d.1" in done.run_panel.notices_text
    assert "conv2d.1" in done.labels_panel.proof.text()
    (layer,) = done.maps.layers.values()
    assert layer.name.endswith("[of conv2d.1]")
    done.labels.set_ticked([label for label in done.explanation.labels if label != top][:1])
    assert all("[of conv2d.1]" in layer.name for layer in done.maps.layers.values())
    run(qtbot, done)
    assert done.explanation.target_layer == "conv2d.0"
    assert done.run_panel.notices_text == ""
    assert not any("[of" in layer.name for layer in done.maps.layers.values())


def test_going_back_to_the_layer_of_the_maps_takes_the_warning_away(qtbot, done):
    _choose(qtbot, done, "conv2d.0")
    _choose(qtbot, done, "conv2d.1")
    assert done.run_panel.notices_text == ""
    (layer,) = done.maps.layers.values()
    assert "[of" not in layer.name


def test_an_unknown_layer_is_told_and_the_old_one_stays(qtbot, done, told):
    _choose(qtbot, done, "conv2d.17")
    assert done.model.classifier.spec.target_layer == "conv2d.1"
    (message,) = told()
    assert "the nearest are conv2d.1" in message
    assert "Choose a layer of the table" in message
    assert done.run_panel.notices_text == ""


def test_a_layer_without_a_grid_is_refused():
    network = ConvThenLinear((6, 8, 10))
    classifier = classifier_of(network, "conv2", plain_input((6, 8, 10)), 3)
    _, report = at_layer(classifier, "conv1")
    assert report.channels == 4
    with pytest.raises(ModelFileError, match="without a grid"):
        at_layer(classifier, "fc")


def test_another_model_takes_the_warning_about_old_maps_away(qtbot, done, viewer, tmp_path):
    _choose(qtbot, done, "conv2d.0")
    load_model(qtbot, done, make_model(tmp_path / "other"))
    assert done.run_panel.notices_text == ""
    assert not map_names(viewer)


def test_identical_by_construction_says_what_is_identical(ready):
    classifier, report = ready.model.classifier, ready.model.report
    same = replace(report, guarantee=Guarantee(GuaranteeState.IDENTICAL, "an average", True))
    assert "Grad-CAM is the same map" in describe_model(classifier, same).guarantee
    assert "Grad-CAM" not in describe_model(classifier, report).guarantee


def test_the_panel_says_so_in_place_of_a_size_larger_than_the_window() -> None:
    model = window_classifier((17, 25, 33))
    report = examine_target_layer(model)
    ct = random_ct((20, 30, 30), (2.5, 1.0, 1.1))
    done = explain(ct, model, at_mm=tuple(ct.grid.corners_mm().mean(axis=0)))
    for facts in (describe_model(model, report), describe_model(model, report, done)):
        assert facts.cells.endswith("each sees all of the window")
        # The size is still to be had.
        assert "receptive field 34 \N{MULTIPLICATION SIGN} 25" in facts.details
    small = window_classifier((9, 13, 17))
    facts = describe_model(small, examine_target_layer(small))
    assert facts.cells.endswith(
        "each sees 18 \N{MULTIPLICATION SIGN} 13 \N{MULTIPLICATION SIGN} 17 mm"
    )
    # Without a spacing there is no size before there is a CT.
    free = window_classifier((17, 25, 33), spacing_mm=None)
    facts = describe_model(free, examine_target_layer(free))
    assert "cells, each sees all of the window; their size" in facts.cells
