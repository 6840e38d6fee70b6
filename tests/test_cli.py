"""The command line: the same numbers as the library, and one clear line when it fails."""

from __future__ import annotations

import json
import re

import nibabel as nib
import numpy as np
import pytest
from model_folders import make_luna_folder
from networks import random_ct
from test_axialnet import small_axialnet
from test_model_folder import SPEC
from typer.testing import CliRunner

from napari_hirescam import explain, load_model, read_volume
from napari_hirescam.attention import Guarantee, GuaranteeState
from napari_hirescam.cli import app
from napari_hirescam.cli.common import in_words
from napari_hirescam.io import write_volume
from napari_hirescam.models import save_model


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def model(tmp_path):
    return save_model(tmp_path / "model", SPEC, small_axialnet().state_dict())


@pytest.fixture
def ct(tmp_path):
    volume = random_ct((9, 120, 110), (3.0, 1.0, 1.1))
    return write_volume(tmp_path / "ct.nii.gz", volume.voxels, volume.grid)


def test_explain_writes_the_asked_maps_and_all_scores(ct, model, tmp_path) -> None:
    out = tmp_path / "out"
    code, text = run(
        "explain", ct, "--model", model, "--label", "mass", "--label", "nodule",
        "--method", "hirescam", "--method", "gradcam", "--out", out,
    )  # fmt: skip
    assert code == 0, text
    assert sorted(p.name for p in out.iterdir()) == [
        "ct_mass_gradcam.nii.gz",
        "ct_mass_hirescam.nii.gz",
        "ct_nodule_gradcam.nii.gz",
        "ct_nodule_hirescam.nii.gz",
        "scores.json",
    ]
    expected = explain(volume := read_volume(ct), load_model(model)).map("mass")
    saved = np.asarray(nib.load(out / "ct_mass_hirescam.nii.gz").dataobj)
    assert np.array_equal(saved, expected.on_grid(volume.export_grid))
    scores = json.loads((out / "scores.json").read_text())["scores"]
    assert {s["label"] for s in scores} == set(SPEC.labels)
    assert all(s["verified"] for s in scores)
    assert "verified" in text


def test_without_a_label_the_likely_ones_are_written(ct, model, tmp_path) -> None:
    code, _ = run("explain", ct, "--model", model, "--out", tmp_path / "out")
    assert code == 0
    result = explain(read_volume(ct), load_model(model))
    likely = {n for n in result.labels if result.probabilities[result.index(n)] >= 0.5}
    written = {p.name for p in (tmp_path / "out").glob("*_hirescam.nii.gz")}
    assert written == {f"ct_{name}_hirescam.nii.gz" for name in likely or result.ranked()[:1]}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--label", "fracture"], "Known: nodule, mass"),
        (["--method", "magic"], "Known: hirescam, gradcam"),
        (["--at", "somewhere"], "'somewhere' is not a point"),
    ],
)
def test_a_wrong_option_names_the_known_values(ct, model, tmp_path, more, words) -> None:
    code, text = run("explain", ct, "--model", model, "--out", tmp_path / "out", *more)
    assert code == 1
    assert words in text
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_one_line_without_traceback(model, tmp_path) -> None:
    code, text = run("explain", tmp_path / "no.nii", "--model", model, "--out", tmp_path / "out")
    assert code == 1
    assert "no.nii" in text
    assert "Traceback" not in text


def test_a_second_run_into_the_same_folder_is_refused_before_the_work(
    ct, model, tmp_path, monkeypatch
) -> None:
    arguments = ["explain", ct, "--model", model, "--label", "mass", "--out", tmp_path / "out"]
    assert run(*arguments)[0] == 0
    monkeypatch.setattr("napari_hirescam.attention.explain", pytest.fail)
    code, text = run(*arguments)
    assert code == 1
    assert "already holds" in text
    monkeypatch.undo()
    assert run(*arguments, "--overwrite")[0] == 0


def test_square_brackets_in_names_are_not_markup(ct, tmp_path) -> None:
    labels = ("x [/b] y", "[red]", "effusion", "cardiomegaly")
    spec = SPEC.model_copy(update={"labels": labels})
    model = save_model(tmp_path / "brackets", spec, small_axialnet().state_dict())
    code, text = run("explain", ct, "--model", model, "--out", tmp_path / "out")
    assert code == 0, text
    assert "x [/b] y" in text
    assert "[red]" in text


def test_info_says_what_a_model_is(model) -> None:
    code, text = run("info", model)
    assert code == 0
    for words in ("small AxialNet", "4: nodule, mass", "conv2d.3: 6 feature maps", "exact"):
        assert words in text


def test_a_models_own_python_is_refused_unless_agreed_to(tmp_path, luna_weights) -> None:
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    code, text = run("info", folder)
    assert code == 1
    assert "brings its own Python code" in text
    agreed = CliRunner().invoke(app, ["info", str(folder), "--trust"])
    assert agreed.exit_code == 0
    assert "A cell: sees nearly all of the window" in " ".join(agreed.stdout.split())
    # What ran is on record, and stdout is still the answer alone.
    told = " ".join(agreed.stderr.split())
    assert told.startswith("Agreed to run: ")
    assert f"{folder}/" in told
    assert re.search(r"\(SHA-256 [0-9a-f]{64}\)", told)
    assert "Agreed" not in agreed.stdout
    # The yes is remembered.
    assert run("info", folder)[0] == 0


def test_layers_lists_what_can_be_explained(model, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, text = run("layers", model)
    assert code == 0, text
    for words in ("suggested", "local approximation", "exact", "conv2d", "input"):
        assert words in text


def test_identical_by_construction_says_what_is_identical() -> None:
    told = in_words(Guarantee(GuaranteeState.IDENTICAL, "global average pooling"))
    assert told.startswith("identical by construction: global average pooling")
    assert told.endswith("Grad-CAM is the same map")
    assert "Grad-CAM" not in in_words(Guarantee(GuaranteeState.EXACT, "one linear layer"))


def test_names_to_be_copied_are_never_shortened(ct, tmp_path) -> None:
    labels = ("coronary_artery_calcification_of_any_degree", "mass", "effusion", "cardiomegaly")
    spec = SPEC.model_copy(update={"labels": labels})
    model = save_model(tmp_path / "long", spec, small_axialnet().state_dict())
    _, text = run("layers", model)
    assert "features.4.0.conv1" in text
    assert "local approximation" in text
    _, text = run("explain", ct, "--model", model, "--out", tmp_path / "out")
    assert labels[0] in text


def test_another_layer_can_be_explained_and_a_wrong_name_offers_the_nearest(
    ct, model, tmp_path
) -> None:
    code, text = run(
        "explain", ct, "--model", model, "--target-layer", "features.4", "--out", tmp_path / "a"
    )
    assert code == 0, text
    assert json.loads((tmp_path / "a" / "scores.json").read_text())["guarantee"]["state"] == (
        "local approximation"
    )
    code, text = run(
        "explain", ct, "--model", model, "--target-layer", "feature.4", "--out", tmp_path / "b"
    )
    assert code == 1
    assert "features.4" in text
