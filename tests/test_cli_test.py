"""``napari-hirescam test``: the findings as sentences, tables, plots and facts."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from model_folders import make_luna_folder
from networks import random_ct
from test_axialnet import small_axialnet
from test_cli import run
from test_model_folder import SPEC

from napari_hirescam import load_model, read_volume
from napari_hirescam.evaluation.explanation_tests import removal_test
from napari_hirescam.io import write_volume
from napari_hirescam.models import save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(2)
    return save_model(tmp_path_factory.mktemp("m") / "model", SPEC, small_axialnet().state_dict())


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    volume = random_ct((9, 120, 110), (3.0, 1.0, 1.1))
    return write_volume(tmp_path_factory.mktemp("ct") / "ct.nii.gz", volume.voxels, volume.grid)


def test_all_three_tests_are_written_and_said(ct, model, tmp_path) -> None:
    out = tmp_path / "out"
    code, text = run("test", ct, "--model", model, "--label", "mass", "--out", out)
    assert code == 0, text
    names = [
        f"ct_mass_hirescam_{key}.{ending}"
        for key in ("occlusion", "randomisation", "removal")
        for ending in ("csv", "json", "png")
    ]
    assert sorted(file.name for file in out.iterdir()) == names
    for sentence in ("Removing the", "Replacing the CT around", "With the weights of all"):
        assert sentence in text
    assert "Wrote 9 files" in text


def test_the_table_holds_the_librarys_numbers(ct, model, tmp_path) -> None:
    out = tmp_path / "out"
    code, _ = run(
        "test", ct, "--model", model, "--label", "mass", "--only", "removal", "--seed", "3",
        "--out", out,
    )  # fmt: skip
    assert code == 0
    curves = removal_test(read_volume(ct), load_model(model), "mass", seed=3).curves
    with (out / "ct_mass_hirescam_removal.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["curve"] == "deletion"]
    assert [int(row["cells"]) for row in rows] == curves.counts.tolist()
    assert [float(row["logit"]) for row in rows] == curves.deletion.logits.tolist()
    assert [float(row["logit_by_map"]) for row in rows] == curves.predicted_deletion.tolist()
    facts = json.loads((out / "ct_mass_hirescam_removal.json").read_text())
    assert facts["adds_up"] is True
    assert facts["label"] == "mass"
    assert facts["seed"] == 3
    assert facts["weights_sha256"]


def test_without_a_label_the_likeliest_is_tested(ct, model, tmp_path) -> None:
    from napari_hirescam import explain

    best = explain(read_volume(ct), load_model(model)).ranked()[0]
    code, text = run("test", ct, "--model", model, "--only", "removal", "--out", tmp_path / "out")
    assert code == 0
    assert f"Removing cells: {best}, HiResCAM" in text


def test_each_label_gets_its_files_by_the_asked_method(ct, model, tmp_path) -> None:
    out = tmp_path / "out"
    code, text = run(
        "test", ct, "--model", model, "--label", "mass", "--label", "nodule",
        "--method", "gradcam", "--only", "removal", "--out", out,
    )  # fmt: skip
    assert code == 0
    assert len(list(out.glob("*.png"))) == 2
    assert "Grad-CAM map are not shares of the logit" in text


def test_files_that_are_there_are_not_touched_unless_asked(ct, model, tmp_path) -> None:
    file = tmp_path / "ct_mass_hirescam_removal.csv"
    file.write_text("mine")
    asked = ["test", ct, "--model", model, "--label", "mass", "--only", "removal"]
    code, text = run(*asked, "--out", tmp_path)
    assert code == 1
    assert "already holds ct_mass_hirescam_removal.csv" in text
    assert file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    code, _ = run(*asked, "--out", tmp_path, "--overwrite")
    assert code == 0
    assert file.read_text().startswith("curve,")


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [
        ("--label", "banana", "nodule"),
        ("--method", "magic", "hirescam"),
        ("--only", "magic", "removal, occlusion, randomisation"),
    ],
)
def test_unknown_names_are_one_line(ct, model, tmp_path, option, value, known) -> None:
    code, text = run("test", ct, "--model", model, option, value, "--out", tmp_path / "out")
    assert code == 1
    assert f"{option}: unknown: {value}" in text
    assert known in text
    assert not (tmp_path / "out").exists()


def test_a_patch_model_is_tested_where_it_is_told_to_look(luna_weights, tmp_path) -> None:
    volume = random_ct((40, 60, 60))
    ct = write_volume(tmp_path / "ct.nii.gz", volume.voxels, volume.grid)
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    asked = ["test", ct, "--model", folder, "--trust", "--label", "nodule", "--only", "removal"]
    code, text = run(*asked, "--out", tmp_path / "out")
    assert code == 1
    assert "--at" in text
    code, text = run(*asked, "--at", "30,30,-20", "--out", tmp_path / "out")
    assert code == 0, text
    assert "of 18" in text
