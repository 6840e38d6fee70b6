"""A model that sees a window of the CT: placing it, running along with it, and searching."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from plugin_cases import CT_SPACING, load_model, make_model, open_ct, run

pytest_plugins = ["plugin_window"]

HERE = (-240.0, -8.0, 6.0)


@pytest.fixture(scope="session")
def patch_folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("patch") / "tiny", shape=(12, 40, 40), fit="window")


@pytest.fixture
def patch(qtbot, widget, viewer, ct_file, patch_folder):
    """The widget with a CT, the slices at a place of it, and a patch model."""
    open_ct(qtbot, widget, ct_file)
    viewer.dims.set_point((0, 1, 2), HERE)
    load_model(qtbot, widget, patch_folder)
    return widget


def _seen_about(widget, place) -> bool:
    grid = widget.explanation.input_grid
    middle = grid.to_world((np.array(grid.shape) - 1) / 2)
    return bool((np.abs(middle - place) <= grid.spacing_mm).all())


def _wait_for_place(qtbot, widget, place) -> None:
    def there() -> bool:
        return (
            widget.run_panel.job is None
            and widget.explanation is not None
            and _seen_about(widget, place)
        )

    qtbot.waitUntil(there, timeout=20000)


def test_the_window_starts_where_the_slices_stand(qtbot, patch):
    assert patch.sections["window"].isVisibleTo(patch)
    steps = [r.step for r in patch._viewer.dims.range]
    assert (np.abs(np.subtract(patch.window_panel.centre.at_mm, HERE)) <= steps).all()
    assert "Window of" in patch.window_panel.text
    run(qtbot, patch)
    assert _seen_about(patch, patch.window_panel.centre.at_mm)
    assert "Labels of chest at" in patch.sections["labels"].header.text()


def test_a_model_of_the_whole_ct_has_no_window(qtbot, patch, model_folder):
    load_model(qtbot, patch, model_folder)
    assert not patch.sections["window"].isVisibleTo(patch)
    assert not patch.sections["search"].isVisibleTo(patch)
    assert not patch.window_panel.box.shown


def test_a_point_the_user_selects_moves_the_window_and_the_model_runs_along(qtbot, patch, viewer):
    place = (-252.0, 4.0, 10.0)
    points = viewer.add_points([place], name="here", ndim=3, units="mm")
    points.selected_data = {0}
    assert patch.window_panel.centre.at_mm == pytest.approx(place)
    _wait_for_place(qtbot, patch, place)


def test_moving_the_window_keeps_the_ticks_and_the_slices(qtbot, patch, viewer):
    run(qtbot, patch)
    patch.labels.set_ticked(["mass", "nodule"])
    before = viewer.dims.point
    place = (-220.0, 4.0, 10.0)
    patch.window_panel.box.move_to(place)
    _wait_for_place(qtbot, patch, place)
    assert patch.labels.ticked == ("mass", "nodule")
    # napari rounds the position to its slider's steps, which the layers' extents decide on.
    assert (np.abs(np.subtract(viewer.dims.point, before)) <= CT_SPACING).all()


def test_without_running_along_only_run_looks_at_the_new_place(qtbot, patch):
    run(qtbot, patch)
    first = patch.explanation
    patch.window_panel.follow.setChecked(False)
    with qtbot.waitSignal(patch.window_panel.moved):
        patch.window_panel.box.move_to((-220.0, 4.0, 10.0))
    assert patch.run_panel.job is None
    assert patch.explanation is first
    assert "The window has moved" in patch.run_panel.notices_text
    run(qtbot, patch)
    assert patch.run_panel.notices_text == ""
    assert _seen_about(patch, (-220.0, 4.0, 10.0))


def test_of_many_moves_during_a_run_only_the_last_is_run(qtbot, patch, monkeypatch):
    from napari_hirescam.attention import explain

    go_on, places = threading.Event(), []

    def slow(volume, classifier, *, at_mm, **options):
        places.append(at_mm)
        go_on.wait(10)
        return explain(volume, classifier, at_mm=at_mm, **options)

    monkeypatch.setattr("napari_hirescam.attention.explain", slow)
    box = patch.window_panel.box
    with qtbot.waitSignal(patch.window_panel.moved):
        box.move_to((-250.0, 0.0, 0.0))
    qtbot.waitUntil(lambda: len(places) == 1)
    for inferior in (-245.0, -230.0, -222.0):
        with qtbot.waitSignal(patch.window_panel.moved):
            box.move_to((inferior, 0.0, 0.0))
    go_on.set()
    _wait_for_place(qtbot, patch, (-222.0, 0.0, 0.0))
    assert [round(place[0]) for place in places] == [-250, -222]


def test_to_the_slices_brings_the_window_to_where_one_looks(qtbot, patch, viewer):
    patch.window_panel.follow.setChecked(False)
    viewer.dims.set_point((0, 1, 2), (-204.0, 12.0, -6.0))
    here = viewer.dims.point
    patch.window_panel.here.click()
    assert patch.window_panel.centre.at_mm == pytest.approx(here)


def test_a_window_the_user_deletes_comes_back_with_the_next_run(qtbot, patch, viewer):
    viewer.layers.remove(patch.window_panel.box.box)
    assert not patch.window_panel.box.shown
    run(qtbot, patch)
    assert patch.window_panel.box.shown
    assert patch.explanation is not None


def test_a_layer_that_is_no_ct_has_no_window_and_says_why(patch, viewer, told):
    patch.ct.choose(viewer.add_image(np.zeros((2, 4, 5, 6)), name="film", units="mm"))
    assert not patch.window_panel.box.shown
    assert "film" in patch.window_panel.text
    assert told() == []


def test_the_search_is_offered_for_the_chosen_ct_and_model(patch):
    assert patch.sections["search"].isVisibleTo(patch)
    assert patch.sweep.button.isEnabled()
    assert patch.sweep.label.count() == 3


def test_the_list_of_places_comes_into_view_when_the_search_is_done(qtbot, patch):
    patch.window().resize(1280, 800)
    patch.window().show()
    patch.sections["search"].unfolded = True
    patch.sweep.button.click()
    qtbot.waitUntil(lambda: patch.sweep.job is None, timeout=20000)
    qtbot.waitUntil(lambda: not patch.sweep.table.visibleRegion().isEmpty(), timeout=2000)


def test_the_plot_comes_into_view_when_a_test_is_done(qtbot, patch):
    patch.window().resize(1280, 800)
    patch.window().show()
    run(qtbot, patch)
    patch.sections["test"].unfolded = True
    patch.test.buttons["removal"].click()
    qtbot.waitUntil(lambda: patch.test.job is None, timeout=20000)
    plot = patch.test.view.canvas
    qtbot.waitUntil(lambda: plot.visibleRegion().boundingRect().height() > 100, timeout=2000)
