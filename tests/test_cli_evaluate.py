"""``evaluate`` on a table of files: the library's figures, one clear line where it cannot."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
from test_axialnet import small_axialnet
from test_cli import run
from test_model_folder import SPEC

from napari_hirescam.cases import read_case_table
from napari_hirescam.evaluation.cohort import evaluate_cohort
from napari_hirescam.evaluation.cohort_files import NAMES
from napari_hirescam.io import write_volume
from napari_hirescam.models import load_model, save_model
from napari_hirescam.volume import Grid

LABELS = ("nodule", "mass")
N_CASES = 9


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    organs = {"nodule": ("left_lung",), "mass": ("left_lung", "right_lung")}
    spec = SPEC.model_copy(update={"organs": organs})
    folder = tmp_path_factory.mktemp("models") / "model"
    return save_model(folder, spec, small_axialnet().state_dict())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Nine small CTs in a table: three to tune on, six to test."""
    folder = tmp_path_factory.mktemp("data")
    grid = Grid((6, 40, 44), np.diag([4.0, 8.0, 8.0, 1.0]))
    organs = np.zeros(grid.shape, dtype=np.uint8)
    organs[:, 10:30, 4:18], organs[:, 10:30, 26:40] = 1, 3  # PARTITION's values, right and left
    write_volume(folder / "organs.nii.gz", organs, grid)
    rng = np.random.default_rng(5)
    rows = []
    for k in range(N_CASES):
        voxels = rng.integers(-900, 300, grid.shape).astype(np.int16)
        write_volume(folder / f"ct{k}.nii.gz", voxels, grid)
        rows.append(
            {
                "case": f"case {k}",
                "patient": f"patient {k}",
                "split": "valid" if k < 3 else "test",
                "ct": f"ct{k}.nii.gz",
                "masks": "organs.nii.gz",
                "organ_table": "partition",
                "nodule": k % 2,
                "mass": int(k in (1, 4, 8)),
            }
        )
    return write_table(folder / "table.csv", rows)


def write_table(path, rows):
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def evaluated(model, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "out"
    code, text = run(
        "evaluate", "--model", model, "--data", data, "--out", out, "--device", "cpu",
        "--replicates", 50,
    )  # fmt: skip
    assert code == 0, text
    return out, text


def test_it_writes_every_table_and_says_the_result(evaluated):
    out, text = evaluated
    assert sorted(path.name for path in out.iterdir()) == sorted(NAMES)
    assert "On 6 scans the scores reach a mean AUROC of" in text
    assert "nodule" in text
    assert "report.html" in text
    page = (out / "report.html").read_text()
    assert "--data table.csv" in page
    assert "--rule half --replicates 50 --seed 0" in page
    assert str(out.parent) not in page


def test_the_figures_are_the_librarys(evaluated, model, data):
    out, _ = evaluated
    table = read_case_table(data, SPEC.labels, all_labels_needed=False)
    expected = evaluate_cohort(load_model(model, device="cpu"), table).records
    found = pd.read_parquet(out / "cases.parquet")
    assert len(found) == 6 * len(LABELS) * 2
    for measure in ("logit", "organ_iou", "share_inside"):
        np.testing.assert_allclose(found[measure], expected[measure], rtol=1e-4, atol=1e-5)


def test_frozen_thresholds_are_used_and_kept_from_their_own_cases(evaluated, model, data, tmp_path):
    frozen = evaluated[0] / "thresholds.json"
    again = (
        "evaluate",
        "--model",
        model,
        "--data",
        data,
        "--thresholds",
        frozen,
        "--device",
        "cpu",
    )
    code, text = run(*again, "--replicates", 20, "--out", tmp_path / "test")
    assert code == 0, text
    assert "tuning_cases.parquet" not in [p.name for p in (tmp_path / "test").iterdir()]
    assert (tmp_path / "test" / "thresholds.json").read_bytes() == frozen.read_bytes()
    code, text = run(*again, "--split", "valid", "--out", tmp_path / "valid")
    assert code == 1
    assert "3 of its 3 cases, or their patients, were used for tuning" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--split", "valid"], "tuned on the cases they are tested on"),
        (["--split", "all"], "tuned on the cases they are tested on"),
        (["--methods", "hirescam,magic"], "--methods: unknown: magic"),
        (["--label", "fracture"], "--label: unknown: fracture"),
        (["--label", "effusion"], "do not both have effusion"),
        (["--phantoms", "4"], "give either a table or --phantoms"),
        (["--rule", "nearest"], "must be stretched over the input"),
        (["--thresholds", "none.json"], "none.json: it cannot be read"),
        (["--thresholds", "none.json", "--tune-on", "valid"], "they are frozen"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(model, data, tmp_path, more, words):
    out = tmp_path / "out"
    code, text = run("evaluate", "--model", model, "--data", data, "--out", out, *more)
    assert code == 1
    assert words in text
    assert text.count("Error:") == 1
    assert not out.exists() or list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("organs", "words"),
    [
        ("organ,values\nright_lung,1\n", "its masks have no left_lung"),
        ("organ,values\nleft_lung,two\n", "'two' is not a whole number above 0"),
    ],
)
def test_masks_that_cannot_serve_are_met_before_the_first_ct_is_read(
    model, data, tmp_path, monkeypatch, organs, words
):
    def read(*_what, **_how):
        raise AssertionError("a CT was read")

    monkeypatch.setattr("napari_hirescam.cases.file_case.read_volume", read)
    table = tmp_path / "organs.csv"
    table.write_text(organs)
    rows = list(csv.DictReader(data.read_text().splitlines()))
    for row in rows:
        row["ct"], row["masks"] = (str(data.parent / row[key]) for key in ("ct", "masks"))
    rows[4]["organ_table"] = rows[7]["organ_table"] = str(table)
    rows[4]["nodule"] = rows[7]["nodule"] = 1
    cases = write_table(tmp_path / "table.csv", rows)
    code, text = run("evaluate", "--model", model, "--data", cases, "--out", tmp_path / "out")
    assert code == 1
    assert words in text
    assert "case 4 (row 6)" in text
    assert "case 7 too" in text


def test_results_that_are_there_are_not_touched(evaluated, model, data):
    out, _ = evaluated
    before = (out / "report.html").read_bytes()
    code, text = run("evaluate", "--model", model, "--data", data, "--out", out)
    assert code == 1
    assert "already holds" in text
    assert (out / "report.html").read_bytes() == before
