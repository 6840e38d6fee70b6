"""Opening in a window: never in its way, one after the other, every question asked and heard."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.qt.threading import FunctionWorker
from npe2 import PluginManifest
from plugin_cases import make_volume, write_ct
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton

from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io import ChoiceNeededError, ConsentNeededError, Item, Picture
from napari_hirescam.plugin.consent_dialog import ConsentDialog
from napari_hirescam.plugin.ct_layers import placement_doubt
from napari_hirescam.plugin.geometry_view import GeometryView
from napari_hirescam.plugin.opening import Opening, main_window
from napari_hirescam.plugin.series_chooser import SeriesChooser
from napari_hirescam.source import Fact, Frame, Repair, Repaired, Source
from napari_hirescam.volume import Volume

pytest_plugins = ["plugin_window"]

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = "napari-hirescam"


@pytest.fixture
def installed(npe2pm):
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(ROOT / "napari.yaml")):
        yield npe2pm


@pytest.fixture
def layers() -> ViewerModel:
    """A viewer without a window, which most of these need none of."""
    return ViewerModel()


@pytest.fixture
def opening(qtbot, layers) -> Opening:
    opening = Opening.of(layers)
    yield opening
    opening.stop()
    FunctionWorker.await_workers(5000)
    if opening.window is not None:
        opening.window.deleteLater()
    opening.abandon()


@pytest.fixture
def reader(monkeypatch):
    """Stands in for `read_volume`: a dict of path name -> function(**options) -> Volume."""
    answers: dict[str, object] = {}

    def read(path, **options) -> Volume:
        return answers[Path(path).name](**options)

    monkeypatch.setattr("napari_hirescam.io.read_volume", read)
    return answers


def wait_until_done(qtbot, opening: Opening) -> None:
    qtbot.waitUntil(lambda: not opening.busy, timeout=10000)


def sourced(volume: Volume, path: Path, **changes) -> Volume:
    source = Source(path, "DICOM", volume.grid, "LPS", **changes)
    return replace(volume, source=source)


def in_event_loop(qtbot, act) -> object:
    """Do something as Qt would: from within its running event loop."""
    done: list[object] = []
    QTimer.singleShot(0, lambda: done.append(act()))
    qtbot.waitUntil(lambda: bool(done), timeout=10000)
    return done[0]


def test_a_file_opened_in_a_used_window_is_read_in_a_thread(
    qtbot, viewer, installed, tmp_path, monkeypatch
):
    file = write_ct(tmp_path / "chest.nii.gz")
    threads = []
    from napari_hirescam.io import read_volume

    def noting(path, **options):
        threads.append(threading.current_thread())
        return read_volume(path, **options)

    monkeypatch.setattr("napari_hirescam.io.read_volume", noting)
    returned = in_event_loop(qtbot, lambda: viewer.open(file, plugin=PLUGIN))
    assert returned == []  # napari is told that there is nothing to add
    wait_until_done(qtbot, Opening.of(viewer))
    (layer,) = viewer.layers
    volume = make_volume()
    np.testing.assert_allclose(layer.data_to_world((2, 3, 4)), volume.grid.to_world((2, 3, 4)))
    assert threads[0] is not threading.main_thread()


def test_a_script_gets_its_layers_at_once(viewer, installed, tmp_path):
    (layer,) = viewer.open(write_ct(tmp_path / "chest.nii.gz"), plugin=PLUGIN)
    assert isinstance(layer, Image)


def test_one_bad_file_of_three_is_named_and_the_others_open(qtbot, layers, opening, tmp_path, told):
    good = [write_ct(tmp_path / name) for name in ("first.nii.gz", "last.nii.gz")]
    bad = tmp_path / "cut.nii.gz"
    bad.write_bytes(good[0].read_bytes()[:-300])
    refused = []
    opening.refused.connect(refused.append)
    opening.open([good[0], bad, good[1]])
    wait_until_done(qtbot, opening)
    assert [layer.name for layer in layers.layers] == ["first", "last"]
    (message,) = told()
    assert "cut.nii.gz" in message
    assert refused[0].remedy in message


def test_what_is_worth_saying_of_a_scan_is_one_message(qtbot, layers, opening, reader, told):
    notes = tuple(f"Not read: series {number}." for number in range(30))  # as on a study's medium
    reader["study"] = lambda **_options: sourced(make_volume(), Path("study"), notes=notes)
    opening.open(["study"])
    wait_until_done(qtbot, opening)
    (message,) = told()
    assert message.splitlines() == list(notes)


def test_the_first_picture_is_shown_before_the_rest_is_read(qtbot, layers, opening, reader):
    go_on = threading.Event()

    def read(*, preview, progress, **_options):
        progress(1, 4)
        preview(Picture(np.full((20, 30), 200, np.uint8)))
        assert go_on.wait(10)
        return make_volume()

    reader["scan"] = read
    opening.open(["scan"])
    qtbot.waitUntil(lambda: opening.window is not None and opening.window.has_picture, timeout=5000)
    # It took long enough for the window to come up, which does not bar napari's.
    qtbot.waitUntil(lambda: opening.window.isVisible(), timeout=5000)
    assert not opening.window.isModal()
    assert not layers.layers
    go_on.set()
    wait_until_done(qtbot, opening)
    assert len(layers.layers) == 1
    assert not opening.window.isVisible()


def test_what_is_read_in_no_time_opens_no_window(qtbot, opening, reader):
    reader["scan"] = lambda **_options: make_volume()
    opening.open(["scan"])
    wait_until_done(qtbot, opening)
    qtbot.wait(400)
    assert not opening.window.isVisible()


def test_cancel_stops_the_reading_and_what_waits(qtbot, layers, opening, reader, told):
    reading = threading.Event()

    def endless(*, should_stop, **_options):
        reading.set()
        while not should_stop():
            threading.Event().wait(0.005)
        raise Cancelled("stopped")

    reader["scan"] = endless
    reader["next"] = lambda **_options: make_volume()
    opening.open(["scan", "next"])
    qtbot.waitUntil(reading.is_set, timeout=5000)
    opening.window.show()
    opening.window.findChild(QPushButton).click()
    wait_until_done(qtbot, opening)
    assert not layers.layers
    assert told() == []


def test_bytes_of_a_huge_file_fit_into_the_progress(qtbot, opening, reader):
    def read(*, progress, **_options):
        for share in range(11):
            progress(share << 30, 10 << 30)
        return make_volume()

    reader["huge"] = read
    opening.open(["huge"])
    wait_until_done(qtbot, opening)
    assert opening.window._bar.value() == opening.window._bar.maximum()


def test_slices_that_are_dropped_together_are_one_series(qtbot, layers, opening, reader, tmp_path):
    files = [tmp_path / f"{k}.dcm" for k in range(5)]
    frames = tuple(Frame(file, "", str(k), None, (0, 0, k)) for k, file in enumerate(files))
    reads = []

    def read(**_options):
        reads.append(1)
        return sourced(make_volume(), files[0], frames=frames)

    reader.update({file.name: read for file in files})
    opening.open(files)
    wait_until_done(qtbot, opening)
    assert len(reads) == len(layers.layers) == 1


def test_slices_that_are_refused_together_are_refused_once(
    qtbot, layers, opening, reader, tmp_path, told
):
    def refuse(**_options):
        raise VolumeError(tmp_path, "it is not a volume", "Choose another")

    reader.update({f"{k}.dcm": refuse for k in range(5)})
    reader["mask.nii.gz"] = lambda **_options: make_volume()
    opening.open([*(tmp_path / f"{k}.dcm" for k in range(5)), tmp_path / "mask.nii.gz"])
    wait_until_done(qtbot, opening)
    assert len(told()) == 1
    assert len(layers.layers) == 1


def test_the_two_halves_of_a_nifti_pair_are_one_volume(qtbot, layers, opening, tmp_path):
    pair = tmp_path / "scan.img"
    nib.Nifti1Pair(make_volume().voxels, np.diag([2, 2, 3, 1.0])).to_filename(pair)
    opening.open([tmp_path / "scan.hdr", pair, write_ct(tmp_path / "scan.nii.gz")])
    wait_until_done(qtbot, opening)
    assert [layer.name for layer in layers.layers] == ["scan", "scan [1]"]


def test_closing_the_window_ends_the_reading(qtbot, make_napari_viewer, reader):
    ended = threading.Event()
    reading = threading.Event()

    def endless(*, should_stop, **_options):
        reading.set()
        while not should_stop():
            threading.Event().wait(0.005)
        ended.set()
        raise Cancelled("stopped")

    reader["scan"] = endless
    viewer = make_napari_viewer()
    opening = Opening.of(viewer)
    opening.open(["scan", "next"])
    qtbot.waitUntil(reading.is_set, timeout=5000)
    viewer.close()
    qtbot.waitUntil(ended.is_set, timeout=5000)
    assert not opening.busy


# -- questions -------------------------------------------------------------------------------


ITEMS = (
    Item("a", "lung", "CT", 24, (6, 4, 4), (40, 40)),
    Item("b", "soft", "CT", 24, (6, 4, 4), (40, 40)),
    Item("c", "scout", "localizer", 1, problem="one picture is not a volume"),
)


def series(seen: list[str] | None = None, shift: float = 0.0):
    """A reader of a folder with two series."""

    def read(*, series=None, **_options):
        if series is None:
            raise ChoiceNeededError("folder", "there are two series", "Choose one", ITEMS)
        if seen is not None:
            seen.append(series)
        volume = make_volume(seed=ord(series))
        affine = volume.affine.copy()
        affine[2, 3] += shift * (series == "b")
        return replace(volume, name=f"series {series}", affine=affine)

    return read


def asked(qtbot, opening, kind):
    qtbot.waitUntil(lambda: isinstance(opening.dialog, kind), timeout=10000)
    return opening.dialog


def test_of_several_series_the_chosen_ones_open(qtbot, layers, opening, reader):
    seen: list[str] = []
    reader["folder"] = series(seen)
    opening.open(["folder"])
    chooser = asked(qtbot, opening, SeriesChooser)
    chooser.choose("a", "b")
    chooser.accept()
    wait_until_done(qtbot, opening)
    assert seen == ["a", "b"]
    assert [layer.name for layer in layers.layers] == ["series a", "series b"]


def test_a_choice_that_is_cancelled_opens_nothing_and_goes_on(qtbot, layers, opening, reader, told):
    reader["folder"] = series()
    reader["other.nii.gz"] = lambda **_options: make_volume()
    opening.open(["folder", "other.nii.gz"])
    asked(qtbot, opening, SeriesChooser).reject()
    wait_until_done(qtbot, opening)
    assert [layer.name for layer in layers.layers] == ["chest"]
    assert told() == []


def test_phases_open_as_one_layer_with_a_time_axis(qtbot, layers, opening, reader):
    reader["folder"] = series()
    opening.open(["folder"])
    asked(qtbot, opening, SeriesChooser)._time.click()
    wait_until_done(qtbot, opening)
    (layer,) = layers.layers
    assert layer.data.shape == (2, 24, 40, 40)
    assert "time axis" in placement_doubt(layer)
    assert layer.axis_labels == ("time", "inferior", "posterior", "left")
    assert [str(unit) for unit in layer.units] == ["pixel"] + ["millimeter"] * 3
    volume = make_volume(seed=ord("b"))
    np.testing.assert_array_equal(layer.data[1], volume.voxels)
    np.testing.assert_allclose(
        layer.data_to_world((1, 2, 3, 4)), [1, *volume.grid.to_world((2, 3, 4))]
    )


def test_phases_on_different_grids_get_no_common_time_axis(qtbot, layers, opening, reader, told):
    reader["folder"] = series(shift=1.0)
    opening.open(["folder"])
    asked(qtbot, opening, SeriesChooser)._time.click()
    wait_until_done(qtbot, opening)
    assert not layers.layers
    assert "another grid" in told()[0]


def needs_consent(*, allow, **_options):
    """A series with a gap whose spacing is uneven as well."""
    if Repair.LEAVE_OUT_ODD not in allow:
        raise ConsentNeededError("gap", "1 slice is cut", "Agree", (Repair.LEAVE_OUT_ODD,))
    if Repair.INSERT_MISSING not in allow:
        raise ConsentNeededError(
            "gap", "1 slice is missing", "Agree", (Repair.INSERT_MISSING, Repair.EVEN_SPACING)
        )
    repaired = tuple(Repaired(repair, "done", asked=True) for repair in sorted(allow))
    return sourced(make_volume(), Path("gap"), repaired=repaired)


def press(dialog, words: str) -> None:
    (button,) = [b for b in dialog.findChildren(QPushButton) if b.text() == words]
    button.click()


def test_every_repair_is_asked_for_and_marked(qtbot, viewer, reader):
    opening = Opening.of(viewer)
    reader["gap"] = needs_consent
    opening.open(["gap"])
    press(asked(qtbot, opening, ConsentDialog), "Leave out the odd slices")
    qtbot.waitUntil(lambda: opening.dialog is None, timeout=5000)
    press(asked(qtbot, opening, ConsentDialog), "Insert blank slices")
    wait_until_done(qtbot, opening)
    (layer,) = viewer.layers
    assert layer.name == "chest (repaired)"
    stored = layer.metadata["napari_hirescam"]["repaired"]
    assert [one["repair"] for one in stored] == ["insert-missing", "leave-out-odd"]
    # What was done to it is shown without being asked for.
    (report,) = main_window(viewer.title).findChildren(GeometryView)
    assert any(fact.section == "Repairs" for fact in report.facts)


def test_without_consent_nothing_opens(qtbot, layers, opening, reader, told):
    reader["gap"] = needs_consent
    opening.open(["gap"])
    dialog = asked(qtbot, opening, ConsentDialog)
    default = [b for b in dialog.findChildren(QPushButton) if b.isDefault()]
    assert [button.text() for button in default] == ["Do not open"]
    press(dialog, "Do not open")
    wait_until_done(qtbot, opening)
    assert not layers.layers
    assert told() == []


def test_a_flawless_scan_opens_without_a_report(qtbot, viewer, reader):
    opening = Opening.of(viewer)
    facts = (Fact("Slices", "Spacing", "2.5 mm"),)
    reader["fine"] = lambda **_options: sourced(make_volume(), Path("fine"), facts=facts)
    opening.open(["fine"])
    wait_until_done(qtbot, opening)
    assert main_window(viewer.title).findChildren(GeometryView) == []


def test_the_panel_chooses_what_it_opened_and_reports_on_it(qtbot, viewer, widget, reader):
    reader["mr"] = lambda **_options: sourced(make_volume(), Path("mr"), notes=("Odd.",))
    widget.ct.open_path(Path("mr"))
    assert widget.ct.busy
    qtbot.waitUntil(lambda: not widget.ct.busy, timeout=10000)
    assert widget.ct.layer is viewer.layers[0]
    widget.ct.show_geometry()
    (report,) = widget.window().findChildren(GeometryView)
    assert Fact("Remarks", "1", "Odd.") in report.facts


def test_a_mask_opens_with_its_names_and_colours(qtbot, layers, opening, reader):
    from napari_hirescam.plugin.mask_layers import segments_of
    from napari_hirescam.source import Segment
    from napari_hirescam.volume import Quantity

    voxels = np.zeros((24, 40, 40), np.uint8)
    voxels[4, 5, 6], voxels[4, 5, 7] = 5, 10
    segments = (Segment(5, "liver", (1.0, 0.0, 0.0)), Segment(10, "lung"))
    reader["organs"] = lambda **_options: replace(
        make_volume(), voxels=voxels, quantity=Quantity.LABELS, segments=segments
    )
    opening.open(["organs"])
    wait_until_done(qtbot, opening)
    (layer,) = layers.layers
    assert isinstance(layer, Labels)
    np.testing.assert_allclose(layer.get_color(5)[:3], (1, 0, 0), atol=0.01)
    place = layer.data_to_world((4, 5, 6))
    layers.dims.set_point(0, place[0])
    status = layer.get_status(
        place, view_direction=np.array([1.0, 0, 0]), dims_displayed=[1, 2], world=True
    )
    assert "liver" in status["value"]
    assert segments_of(layer) == segments
    layer.features = layer.features.replace("lung", "left lung")
    assert segments_of(layer)[1].name == "left lung"
