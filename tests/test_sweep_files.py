"""The files of a search, and the command that writes them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from networks import classifier_of, plain_input
from test_sweep import BrightMiddle, searcher, spots
from typer.testing import CliRunner

from napari_hirescam import read_volume
from napari_hirescam.attention.sweep import sweep
from napari_hirescam.attention.sweep_export import save_sweep, sweep_file_names
from napari_hirescam.cli import app
from napari_hirescam.errors import VolumeError
from napari_hirescam.io import write_volume
from napari_hirescam.volume import Grid, Quantity

PLACES = [(9, 24, 6), (2, 6, 24)]


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def ct_file(tmp_path):
    """The spots' CT in a file whose axes run to the right, front and top."""
    ct = spots(*PLACES)
    voxels = ct.voxels[::-1, ::-1, ::-1].transpose(2, 1, 0)
    to_ipl = np.zeros((4, 4))
    to_ipl[3, 3] = 1.0
    for stored, axis in enumerate((2, 1, 0)):
        to_ipl[axis, stored] = -ct.spacing_mm[axis]
        to_ipl[axis, 3] = ct.spacing_mm[axis] * (ct.voxels.shape[axis] - 1)
    return write_volume(tmp_path / "ct.nii.gz", voxels * 1000, Grid(voxels.shape, to_ipl))


def test_the_table_gives_each_place_in_mm_and_in_voxels_of_the_file(ct_file, tmp_path) -> None:
    volume = read_volume(ct_file)
    classifier = searcher(window_hu=(0, 1000), scale_to=(0, 1))
    volume = replace(volume, quantity=Quantity.HU)
    result = sweep(volume, classifier, "label 1", stride_mm=2.0, inside_body=False)
    table, score, stitched = save_sweep(result, volume, tmp_path / "out")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == len(result.hits)
    stored = np.asarray(nib.load(ct_file).dataobj)
    for row, place in zip(rows, PLACES, strict=False):
        inferior, posterior, left = np.array(place) * (2.0, 1.0, 1.0)
        assert [float(row[k]) for k in ("L_mm", "P_mm", "S_mm")] == [left, posterior, -inferior]
        voxel = tuple(int(row[k]) for k in "ijk")
        assert stored[voxel] > 500
        assert np.asarray(nib.load(score).dataobj)[voxel] == pytest.approx(
            float(row["probability"]), abs=1e-5
        )
    assert np.array_equal(nib.load(stitched).affine, nib.load(ct_file).affine)
    said = json.loads(nib.load(stitched).header.extensions[0].get_content())
    assert said["label"] == "label 1"
    assert said["stitched_from_windows"] == result.stitched.windows
    assert said["windows_scored"] == result.scored


def test_nothing_is_replaced_unasked(tmp_path) -> None:
    ct = spots((6, 15, 15))
    result = sweep(ct, searcher(), "label 1", inside_body=False)
    save_sweep(result, ct, tmp_path)
    name = sweep_file_names(ct.name, "label 1", "hirescam")[1]
    with pytest.raises(VolumeError, match=name):
        save_sweep(result, ct, tmp_path)
    assert len(save_sweep(result, ct, tmp_path, overwrite=True)) == 3


def test_a_place_that_cannot_be_written_is_said(tmp_path) -> None:
    ct = spots((6, 15, 15))
    result = sweep(ct, searcher(), "label 1", maps_for_top=0, inside_body=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeError, match="cannot be written"):
        save_sweep(result, ct, tmp_path / "file" / "out")


@pytest.fixture
def patch_model(monkeypatch):
    """A patch model without a file: what is under test is the command."""
    spec = plain_input((4, 8, 8), fit="window", window_hu=(0, 1000), scale_to=(0, 1))
    classifier = classifier_of(BrightMiddle(), "see", spec, 2, activation="softmax")
    monkeypatch.setattr("napari_hirescam.cli.sweep.load_classifier", lambda *_a, **_k: classifier)
    return "model"


def test_the_command_prints_and_writes_what_it_found(ct_file, patch_model, tmp_path) -> None:
    out = tmp_path / "out"
    arguments = ("sweep", ct_file, "--model", patch_model, "--label", "label 1", "--out", out)
    code, text = run(*arguments, "--stride", 2, "--top", 1, "--assume-hu")
    assert code == 0, text
    assert "windows scored" in text
    assert sorted(p.name for p in out.iterdir()) == [
        "ct_label_1_hirescam_stitched.nii.gz",
        "ct_label_1_score.nii.gz",
        "hits.csv",
    ]
    code, text = run(*arguments)
    assert code == 1
    assert "already holds hits.csv" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--label", "fracture"], "Known: label 0, label 1"),
        (["--method", "magic"], "Known: hirescam"),
        (["--stride", "-3"], "-3 mm is no distance"),
    ],
)
def test_a_wrong_option_is_one_line(ct_file, patch_model, tmp_path, more, words) -> None:
    base = {"--label": "label 1", "--out": str(tmp_path / "out")}
    options = [part for pair in {**base, **dict([more])}.items() for part in pair]
    code, text = run("sweep", ct_file, "--model", patch_model, *options)
    assert code == 1
    assert words in text
    assert not (tmp_path / "out").exists()
