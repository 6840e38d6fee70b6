"""Opening files through napari: in place, with notes, and failing in one sentence."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import make_series, save_all
from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from plugin_cases import make_volume, write_ct

from napari_hirescam.errors import VolumeError
from napari_hirescam.io import write_volume
from napari_hirescam.plugin.reader import get_reader, read_layers
from napari_hirescam.sample import sample_ct_path

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = "napari-hirescam"
ENDINGS = ("nii", "NII.GZ", "hdr", "img", "dcm", "nrrd", "nhdr", "mha", "mhd", "npz", "zip")
#: The last six are names of DICOM files on media and in archives.
OURS = [
    *(f"ct.{ending}" for ending in ENDINGS),
    *("DICOMDIR", "dicomdir", "IM000001", "IM_0001", "00000012", "1.2.840.113619.2.5"),
]


@pytest.fixture
def installed(npe2pm):
    """Our manifest, in a plugin manager without any other plugin."""
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(ROOT / "napari.yaml")):
        yield npe2pm


@pytest.fixture
def told():
    """Messages that reach the user while the test runs."""
    before = len(notification_manager.records)
    return lambda: [str(record.message) for record in notification_manager.records[before:]]


def test_files_that_are_not_ours_are_refused_without_an_error(tmp_path):
    text = tmp_path / "letter.txt"
    text.write_text("dear colleague")
    assert get_reader(str(text)) is None
    # What has our name is taken, so that it is refused with a reason and not as nobody's.
    named = text.rename(tmp_path / "letter.nii")
    with pytest.raises(VolumeError, match=r"letter\.nii"):
        get_reader(str(named))(str(named))
    assert get_reader(str(tmp_path)) is None
    assert get_reader([]) is None


@pytest.mark.parametrize(
    "name",
    [
        "ct.nii",
        "CT.NII.GZ",
        "ct.hdr",
        "ct.img",
        "ct.dcm",
        "ct.nrrd",
        "ct.nhdr",
        "ct.mha",
        "ct.mhd",
        "ct.npz",
        "ct.zip",
        "DICOMDIR",
        "dicomdir",
        "IM000001",
        "IM_0001",
        "00000012",
        "1.2.840.113619.2.5",
    ],
)
def test_napari_asks_us_for_names_of_medical_images(installed, name):
    assert list(installed.iter_compatible_readers(f"/scans/{name}"))


@pytest.mark.parametrize("name", ["photo.png", "v1.2.3.tif", "notes.txt", "cells.tif", "data.csv"])
def test_napari_does_not_ask_us_for_other_names(installed, name):
    assert not list(installed.iter_compatible_readers(f"/scans/{name}"))


def test_zips_and_npz_of_other_things_are_left_to_other_readers(tmp_path):
    np.savez(tmp_path / "points.npz", points=np.zeros((5, 2)))
    np.savez(tmp_path / "volume.npz", ct=np.zeros((5, 6, 7), np.int16))
    with zipfile.ZipFile(tmp_path / "letters.zip", "w") as archive:
        archive.writestr("letter.txt", "dear colleague")
    slices = save_all(make_series(3), tmp_path / "series")
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        for file in slices.iterdir():
            archive.write(file, f"study/{file.name}")
    ours = {file.name for file in tmp_path.glob("*.*") if get_reader(str(file)) is not None}
    assert ours == {"volume.npz", "series.zip"}


def test_a_script_that_opens_the_slices_of_a_series_as_a_stack_gets_one_volume(tmp_path):
    files = sorted(map(str, save_all(make_series(4), tmp_path / "series").iterdir()))
    ((voxels, _, kind),) = get_reader(files)(files)
    assert (voxels.shape, kind) == ((4, 6, 9), "image")


def test_napari_opens_a_ct_where_it_lies_in_the_patient(make_napari_viewer, installed, tmp_path):
    volume = make_volume()
    viewer = make_napari_viewer()
    (layer,) = viewer.open(write_ct(tmp_path / "chest.nii.gz", volume), plugin=PLUGIN)
    assert isinstance(layer, Image)
    np.testing.assert_allclose(layer.data_to_world((2, 3, 4)), volume.grid.to_world((2, 3, 4)))
    assert layer.data[2, 3, 4] == volume.voxels[2, 3, 4]
    assert layer.source.reader_plugin == PLUGIN


def test_a_file_of_labels_opens_as_labels(make_napari_viewer, installed, tmp_path):
    volume = make_volume()
    masks = (volume.voxels > 0).astype(np.uint8)
    file = write_volume(tmp_path / "organs.nii.gz", masks, volume.grid)
    (layer,) = make_napari_viewer().open(file, plugin=PLUGIN)
    assert isinstance(layer, Labels)
    assert set(np.unique(layer.data)) == {0, 1}


def test_a_damaged_file_is_named_once_and_adds_nothing(
    make_napari_viewer, installed, tmp_path, told
):
    whole = write_ct(tmp_path / "whole.nii.gz").read_bytes()
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    viewer = make_napari_viewer()
    assert viewer.open(cut, plugin=PLUGIN) == []
    assert not viewer.layers
    (message,) = told()
    assert "cut.nii.gz" in message
    assert "\n" not in message


def test_without_a_window_a_damaged_file_raises(tmp_path, monkeypatch):
    monkeypatch.setattr("napari.current_viewer", lambda: None)
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(write_ct(tmp_path / "whole.nii.gz").read_bytes()[:-200])
    with pytest.raises(VolumeError, match=r"cut\.nii\.gz"):
        read_layers(str(cut))


def test_what_the_reader_noticed_reaches_the_user(tmp_path, told):
    # Values from 0 to 1: readable, but no CT numbers.
    values = np.linspace(0, 1, 8000, dtype=np.float32).reshape(20, 20, 20)
    file = write_volume(tmp_path / "scaled.nii.gz", values, make_volume(shape=(20, 20, 20)).grid)
    ((_, options, kind),) = read_layers(str(file))
    assert kind == "image"
    assert options["metadata"]["napari_hirescam"]["notes"] == told()
    assert len(told()) == 1


def test_the_sample_opens_from_the_file_menu(make_napari_viewer, installed):
    try:
        sample_ct_path()
    except VolumeError as missing:
        pytest.skip(str(missing))
    viewer = make_napari_viewer()
    (layer,) = viewer.open_sample(PLUGIN, "phantom_chest_ct")
    assert layer.data.ndim == 3
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
