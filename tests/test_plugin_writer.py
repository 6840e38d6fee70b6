"""Saving layers through napari: on the file's grid where they were read, else where they are."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_factory import make_series, save_all
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils import progress
from nifti_factory import CT, RAS, save
from npe2 import PluginManifest
from pydicom.uid import generate_uid
from qtpy.QtCore import QTimer

from napari_hirescam.errors import VolumeError
from napari_hirescam.io import read_volume
from napari_hirescam.plugin.ct_layers import METADATA_KEY, layer_from_volume
from napari_hirescam.plugin.mask_layers import describe_segments
from napari_hirescam.plugin.opening import add_layer
from napari_hirescam.source import Segment
from napari_hirescam.volume import Volume

pytest_plugins = ["plugin_window"]

ROOT = Path(__file__).resolve().parents[1]
COS, SIN = np.cos(0.3), np.sin(0.3)
#: Turned by 0.3 rad about the head-foot axis.
OBLIQUE = np.array([[COS, -SIN, 0, 0], [SIN, COS, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ RAS


@pytest.fixture(autouse=True)
def installed(npe2pm):
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(ROOT / "napari.yaml")):
        yield npe2pm


@pytest.fixture
def viewer(monkeypatch) -> ViewerModel:
    """A viewer without a window; the writers find the CTs in it."""
    viewer = ViewerModel()
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    return viewer


def in_viewer(viewer: ViewerModel, volume: Volume):
    return add_layer(viewer, layer_from_volume(volume))


def new_labels(ct: Image) -> Labels:
    """Labels as napari's button makes them: on the grid of the chosen layer, without metadata."""
    return Labels(
        np.zeros(ct.data.shape, np.int32),
        name="painted",
        scale=ct.scale,
        translate=ct.translate,
        units=ct.units,
        axis_labels=ct.axis_labels,
    )


def save_layer(viewer: ViewerModel, layer, path: Path) -> Path:
    if layer not in viewer.layers:
        viewer.add_layer(layer)
    viewer.layers.selection = {layer}
    (written,) = viewer.layers.save(str(path), selected=True)
    return Path(written)


def provenance_of(path: Path) -> dict:
    (extension,) = [e for e in nib.load(path).header.extensions if e.get_code() == 6]
    return json.loads(extension.get_content())


def ras_of(world_ipl) -> np.ndarray:
    inferior, posterior, left = world_ipl
    return np.array([-left, -posterior, -inferior])


def value_at(file: Path, world_ipl) -> float:
    image = nib.load(file)
    index = np.linalg.inv(image.affine) @ np.append(ras_of(world_ipl), 1)
    np.testing.assert_allclose(index, np.rint(index), atol=1e-3)
    return np.asarray(image.dataobj)[tuple(np.rint(index[:3]).astype(int))]


def test_a_mask_painted_over_an_oblique_ct_is_written_on_the_grid_of_its_file(viewer, tmp_path):
    file = save(tmp_path / "ct.nii.gz", np.kron(CT, np.ones((4, 4, 1), np.int16)), OBLIQUE)
    ct = in_viewer(viewer, read_volume(file))
    painted = new_labels(ct)
    # Around the place of the stored voxel (12, 13, 4).
    ras = OBLIQUE @ [12, 13, 4, 1]
    middle = np.rint(ct.world_to_data(-ras[[2, 1, 0]])).astype(int)
    painted.data[tuple(slice(m - 1, m + 2) for m in middle)] = 7
    written = save_layer(viewer, painted, tmp_path / "mask.nii.gz")
    image = nib.load(written)
    np.testing.assert_array_equal(image.affine, nib.load(file).affine)
    assert image.shape == nib.load(file).shape
    assert image.get_data_dtype() == np.uint8
    assert np.asarray(image.dataobj)[12, 13, 4] == 7
    assert 0 < (np.asarray(image.dataobj) == 7).mean() < 0.1


def test_a_ct_comes_out_of_the_window_as_it_went_in(viewer, tmp_path):
    file = save(tmp_path / "ct.nii.gz")
    written = save_layer(viewer, in_viewer(viewer, read_volume(file)), tmp_path / "out.nii")
    np.testing.assert_array_equal(np.asarray(nib.load(written).dataobj), CT)
    np.testing.assert_array_equal(nib.load(written).affine, nib.load(file).affine)
    assert provenance_of(written)["ct"] == file.name


@pytest.mark.parametrize(
    "change",
    [
        {"translate": (5.0, -3.0, 2.0)},
        {"scale": (2.0, 3.0, 1.5)},
        {"rotate": 25},
        {"shear": (0.2, 0.0, 0.1)},
        {"affine": np.array([[1, 0, 0, 9], [0, 0.8, 0.6, 1], [0, -0.6, 0.8, 2], [0, 0, 0, 1.0]])},
        {"rotate": 40, "shear": (0.0, 0.3, 0.0), "translate": (1.0, 2.0, 3.0)},
    ],
    ids=lambda change: "+".join(change),
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_a_layer_that_was_moved_is_written_where_it_is_now(viewer, tmp_path, change, suffix):
    file = save(tmp_path / "ct.nii.gz")
    layer = in_viewer(viewer, read_volume(file))
    for name, value in change.items():
        setattr(layer, name, value)
    written = save_layer(viewer, layer, tmp_path / f"moved{suffix}")
    place = layer.data_to_world((1, 2, 3))
    if suffix == ".nii.gz":
        assert value_at(written, place) == layer.data[1, 2, 3]
        assert "moved" in provenance_of(written)["moved"]
    else:
        import nrrd

        values, header = nrrd.read(str(written))
        directions = np.array(header["space directions"], float).T
        lps = ras_of(place) * (-1, -1, 1)
        index = np.linalg.solve(directions, lps - header["space origin"])
        np.testing.assert_allclose(index, np.rint(index), atol=1e-4)
        assert values[tuple(np.rint(index).astype(int))] == layer.data[1, 2, 3]


def test_lengths_in_micrometres_become_mm(viewer, tmp_path):
    layer = Image(np.arange(24).reshape(2, 3, 4), scale=(2000, 500, 500), units=["um"] * 3)
    written = save_layer(viewer, layer, tmp_path / "um.nii.gz")
    np.testing.assert_allclose(nib.load(written).header.get_zooms(), (2, 0.5, 0.5))


def test_lengths_in_pixels_are_taken_for_mm_and_it_is_said(viewer, tmp_path):
    written = save_layer(viewer, Image(np.zeros((2, 3, 4))), tmp_path / "plain.nii.gz")
    np.testing.assert_allclose(nib.load(written).header.get_zooms(), (1, 1, 1))
    assert "pixel" in provenance_of(written)["assumed"]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_the_names_of_a_mask_are_written(viewer, tmp_path, suffix):
    ct = in_viewer(viewer, read_volume(save(tmp_path / "ct.nii.gz")))
    painted = new_labels(ct)
    painted.features = describe_segments((Segment(3, "left lung"),))["features"]
    painted.data[2, 3, 4] = 3
    written = save_layer(viewer, painted, tmp_path / f"mask{suffix}")
    back = read_volume(written)
    assert [(one.value, one.name) for one in back.segments] == [(3, "left lung")]
    index = back.grid.to_index(ct.data_to_world((2, 3, 4)))
    assert back.voxels[tuple(np.rint(index).astype(int))] == 3


def test_a_mask_over_a_dicom_ct_becomes_a_segmentation_of_its_series(viewer, tmp_path):
    uids = {"StudyInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid()}
    folder = save_all(make_series(6, **uids), tmp_path / "series")
    ct = in_viewer(viewer, read_volume(folder))
    painted = new_labels(ct)
    painted.data[2, 3, 4] = painted.data[3, 3, 4] = 1
    written = save_layer(viewer, painted, tmp_path / "mask.dcm")
    import highdicom

    seg = highdicom.seg.segread(str(written))
    assert seg.Modality == "SEG"
    back = read_volume(written)
    index = back.grid.to_index(ct.data_to_world((2, 3, 4)))
    assert back.voxels[tuple(np.rint(index).astype(int))] == 1
    assert (back.voxels > 0).sum() == 2


def test_without_a_dicom_ct_no_segmentation_is_written(viewer, tmp_path):
    ct = in_viewer(viewer, read_volume(save(tmp_path / "ct.nii.gz")))
    painted = new_labels(ct)
    painted.data[0, 0, 0] = 1
    with pytest.raises(VolumeError, match="belongs to a DICOM series"):
        save_layer(viewer, painted, tmp_path / "mask.dcm")
    assert not (tmp_path / "mask.dcm").exists()


def test_a_map_is_written_with_its_numbers_and_how_they_came_about(viewer, tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    ours = {"kind": "map", "model": "by hand", "label": "nodule", "method": "hirescam"}
    layer = Image(
        values,
        name="HiResCAM: nodule",
        scale=(3, 2, 2),
        units=["mm"] * 3,
        metadata={METADATA_KEY: ours},
    )
    written = save_layer(viewer, layer, tmp_path / "map.nii.gz")
    assert value_at(written, layer.data_to_world((1, 2, 3))) == values[1, 2, 3]
    assert provenance_of(written)["map"]["label"] == "nodule"


def test_a_name_without_an_ending_becomes_nifti(viewer, tmp_path):
    written = save_layer(viewer, Labels(np.ones((2, 3, 4), int)), tmp_path / "mask")
    assert written.name.startswith("mask.")
    assert written.exists()


def test_a_script_does_not_replace_a_file_and_the_dialog_has_asked(
    make_napari_viewer, qtbot, tmp_path
):
    viewer = make_napari_viewer()
    file = tmp_path / "mask.nii.gz"
    file.write_bytes(b"somebody's work")
    viewer.add_labels(np.ones((2, 3, 4), int))
    with pytest.raises(VolumeError, match="there is a file of this name"):
        viewer.layers.save(str(file), selected=True)
    assert file.read_bytes() == b"somebody's work"
    assert from_menu(qtbot, lambda: viewer.layers.save(str(file), selected=True)) == [str(file)]
    qtbot.waitUntil(lambda: not progress._all_instances, timeout=10000)
    assert nib.load(file).shape == (2, 3, 4)


def from_menu(qtbot, act):
    """Do something as from the window's menu: within Qt's event loop."""
    done: list[object] = []

    def call() -> None:
        try:
            done.append(act())
        except VolumeError as error:
            done.append(error)

    QTimer.singleShot(0, call)
    qtbot.waitUntil(lambda: bool(done), timeout=10000)
    return done[0]


class _SlowDisk:
    """Stands in for `write_volume`: writes when it is told to."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self, *args, **options):
        from napari_hirescam.io.write import write_volume

        self.threads.append(threading.current_thread())
        assert self.go_on.wait(10)
        return write_volume(*args, **options)


@pytest.fixture
def slow(monkeypatch) -> _SlowDisk:
    slow = _SlowDisk()
    monkeypatch.setattr("napari_hirescam.io.write_volume", slow)
    return slow


def test_the_window_goes_on_while_a_layer_is_written(
    make_napari_viewer, qtbot, tmp_path, slow, told
):
    viewer = make_napari_viewer()
    layer = viewer.add_labels(np.ones((2, 3, 4), np.uint8), name="mask")
    file = tmp_path / "mask.nii.gz"
    from_menu(qtbot, lambda: viewer.layers.save(str(file), selected=True))
    qtbot.waitUntil(lambda: bool(slow.threads), timeout=5000)
    assert slow.threads[0] is not threading.main_thread()
    assert told() == []
    layer.data[0, 0, 0] = 9  # what is painted from now on is not in the file
    (shown,) = progress._all_instances
    assert shown.desc.startswith("Saving mask.nii.gz")
    again = from_menu(qtbot, lambda: viewer.layers.save(str(file), selected=True))
    assert "just being written" in str(again)
    slow.go_on.set()
    qtbot.waitUntil(lambda: len(told()) == 1, timeout=5000)
    assert told()[0].startswith("Saved mask.nii.gz in ")
    assert (np.asarray(nib.load(file).dataobj) == 1).all()
    assert not progress._all_instances


def test_a_layer_that_cannot_be_written_is_told(make_napari_viewer, qtbot, tmp_path, told):
    viewer = make_napari_viewer()
    viewer.add_labels(np.ones((2, 3, 4), np.uint8), name="mask")
    file = tmp_path / "no such folder" / "mask.nii.gz"
    from_menu(qtbot, lambda: viewer.layers.save(str(file), selected=True))
    qtbot.waitUntil(lambda: bool(told()), timeout=5000)
    (message,) = told()
    assert "it cannot be written" in message
    assert "folder exists" in message
    assert not progress._all_instances


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Labels(np.zeros((2, 3, 4, 5), int), name="film"), "4 axes"),
        (Image(np.zeros((3, 4, 5, 3), np.uint8), name="photo", rgb=True), "colours"),
        (Image(np.zeros((3, 4), np.float32), name="flat"), "2 axes"),
        (Image([np.zeros((8, 8, 8)), np.zeros((4, 4, 4))], name="pyramid"), "resolutions"),
    ],
    ids=["4-D", "RGB", "2-D", "multiscale"],
)
def test_what_is_no_volume_is_refused_by_what_it_is(viewer, tmp_path, layer, words):
    with pytest.raises(VolumeError, match=words) as refusal:
        save_layer(viewer, layer, tmp_path / "out.nii.gz")
    assert refusal.value.subject == layer.name
    assert list(tmp_path.iterdir()) == []


def test_a_repair_is_named_in_what_is_saved(viewer, tmp_path):
    from napari_hirescam.source import Repair, Repaired

    volume = read_volume(save(tmp_path / "ct.nii.gz"))
    done = Repaired(Repair.USE_SFORM, "its sform was used", asked=True)
    volume = replace(volume, source=replace(volume.source, repaired=(done,)))
    written = save_layer(viewer, in_viewer(viewer, volume), tmp_path / "out.nii.gz")
    (repair,) = provenance_of(written)["repairs"]
    assert repair["what"] == "its sform was used"


def test_whoever_saves_dicom_is_told_that_it_names_the_patient(
    make_napari_viewer, qtbot, tmp_path, told
):
    uids = {"StudyInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid()}
    viewer = make_napari_viewer()
    ct = in_viewer(viewer, read_volume(save_all(make_series(6, **uids), tmp_path / "series")))
    painted = new_labels(ct)
    painted.data[2, 3, 4] = 1
    layer = painted if painted in viewer.layers else viewer.add_layer(painted)
    viewer.layers.selection.active = layer
    for name in ("mask.nii.gz", "mask.dcm"):
        from_menu(qtbot, lambda name=name: viewer.layers.save(str(tmp_path / name), selected=True))
        qtbot.waitUntil(lambda: (tmp_path / name).exists() and bool(told()), timeout=20000)  # noqa: B023
    qtbot.waitUntil(lambda: len(told()) == 2, timeout=5000)
    assert ["names the patient" in line for line in told()] == [False, True]
