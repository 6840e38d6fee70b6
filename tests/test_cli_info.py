"""info for scans, and how the command line answers what a reader asks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import make_series, save_all
from nifti_factory import CT, save
from rich.console import Console
from typer.testing import CliRunner

from napari_hirescam.cli import app
from napari_hirescam.cli.common import print_items
from napari_hirescam.io import Item
from napari_hirescam.sample import sample_model_path
from napari_hirescam.source import Repair


def run(*arguments: object):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def in_one_line(text: str) -> str:
    """Undo the breaking of lines for a narrow terminal."""
    return " ".join(text.split())


@pytest.fixture
def two_series(tmp_path) -> Path:
    save_all(make_series(4, SeriesDescription="lung", SeriesNumber=3), tmp_path / "study")
    return save_all(make_series(6, SeriesDescription="soft", SeriesNumber=4), tmp_path / "study")


@pytest.fixture
def with_gap(tmp_path) -> Path:
    slices = make_series(7)
    del slices[3]
    return save_all(slices, tmp_path / "gap")


def test_a_scan_is_described_by_its_geometry(tmp_path):
    result = run("info", save(tmp_path / "ct.nii.gz"))
    assert result.exit_code == 0
    assert result.stdout.startswith("ct\n")
    for words in ("Orientation", "As shown", "2.5 x 0.7 x 0.7 mm", "NIfTI"):
        assert words in result.output


def test_of_several_series_a_list_is_the_answer(two_series):
    result = run("info", two_series)
    assert result.exit_code == 0
    assert "lung" in result.output
    assert "soft" in result.output
    assert "holds 2 things" in result.output
    # What stands in the first column is what --series takes.
    for description in ("lung", "soft"):
        (row,) = [line for line in result.stdout.splitlines() if description in line]
        named = run("info", two_series, "--series", row.split()[0])
        assert named.stdout.startswith(f"{description}\n")


@pytest.mark.parametrize(("number", "description", "n"), [("3", "lung", 4), ("4", "soft", 6)])
def test_one_of_several_is_named_by_series(two_series, number, description, n):
    result = run("info", two_series, "--series", number)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{description}\n")
    assert f"{n} x 6 x 9" in result.output


def test_a_series_that_is_not_there_is_an_error_with_those_that_are(two_series):
    result = run("info", two_series, "--series", "77")
    assert result.exit_code == 1
    assert "soft" in result.output


@pytest.mark.parametrize("command", ["explain", "sweep", "test", "view"])
def test_every_command_that_reads_a_ct_knows_series_and_allow(command):
    answer = run(command, "--help").output
    assert "--series" in answer
    assert "--allow" in answer


def test_a_command_that_must_choose_prints_what_there_is_and_the_option(two_series, tmp_path):
    result = run("explain", two_series, "--model", sample_model_path(), "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "--series" in result.output
    assert "lung" in result.output
    assert "soft" in result.output
    assert "Traceback" not in result.output


def test_a_scan_with_a_gap_is_refused_with_the_option_that_mends_it(with_gap):
    result = run("info", with_gap)
    assert result.exit_code == 1
    assert "--allow insert-missing" in result.output
    result = run("info", with_gap, "--allow", "insert-missing")
    assert result.exit_code == 0
    assert "done with your consent" in result.output
    assert "7 x 6 x 9" in result.output


def test_an_unknown_repair_is_an_error_that_lists_the_known():
    result = run("info", "ct.nii", "--allow", "magic")
    assert result.exit_code == 2
    assert "insert-missing" in in_one_line(result.output)


def test_who_it_is_is_told_only_on_request(tmp_path):
    folder = save_all(make_series(5, PatientName="Doe^Jane", PatientID="MRN-1"), tmp_path / "s")
    assert "Doe" not in run("info", folder).output
    assert "Doe" in run("info", folder, "--identifying").output


def test_volumes_of_a_4d_file_are_listed_and_read_by_number(tmp_path):
    film = np.stack([CT, CT + 1, CT + 2], axis=-1)
    file = save(tmp_path / "film.nii.gz", film)
    listed = run("info", file)
    assert listed.exit_code == 0
    assert "holds 3 things" in listed.output
    assert run("info", file, "--series", "2").exit_code == 0


@pytest.mark.parametrize("name", ["none.nii", "letter.txt", "empty_folder"])
def test_what_is_neither_scan_nor_model_is_one_line_of_error(tmp_path, name):
    (tmp_path / "letter.txt").write_text("dear colleague")
    (tmp_path / "empty_folder").mkdir()
    result = run("info", tmp_path / name)
    assert result.exit_code == 1
    assert in_one_line(result.stderr).startswith("Error:")
    assert "Traceback" not in result.output


@pytest.mark.parametrize("width", [80, 200])
def test_long_keys_leave_room_for_what_is_said_of_them(width):
    key = "1.2.276.0.7230010.3.1.4.0.65241.1523399608.764874"
    items = (
        Item(key, "Segmentation", "SEG", 3, (2.5, 0.7, 0.7), (38, 23), number="300"),
        Item("4", "lung [axial]", "CT", 3, problem="it has a gap", needs=(Repair.INSERT_MISSING,)),
    )
    said = io.StringIO()
    print_items(Console(file=said, width=width), items)
    for words in (key, "300: Segmentation", "38 x 23", "2.5 x 0.7 x 0.7", "lung [axial]",
                  "it has a gap; --allow insert-missing"):  # fmt: skip
        assert words in said.getvalue()
    assert max(map(len, said.getvalue().splitlines())) <= width


def test_an_error_is_one_line_whatever_the_length_of_its_path(tmp_path):
    file = tmp_path / ("a" * 150 + ".nii")
    said = run("info", file).stderr.strip()
    assert said == f"Error: {file}: there is no such file or folder. Check the path."


def test_a_folder_of_other_scans_is_not_taken_for_a_model(tmp_path):
    save(tmp_path / "ct.nii.gz")
    said = in_one_line(run("info", tmp_path).stderr)
    assert "no DICOM file was found" in said
    assert "name a scan's file" in said
    assert "model" not in said.replace(in_one_line(str(tmp_path)), "")


def test_a_bundle_and_a_models_folder_are_still_models(tmp_path):
    (tmp_path / "bundle" / "configs").mkdir(parents=True)
    (tmp_path / "bundle" / "configs" / "metadata.json").write_text("{}")
    assert "network_def" in in_one_line(run("info", tmp_path / "bundle").stderr)
    (tmp_path / "model.yaml").write_text("labels: [")
    assert "model.yaml" in in_one_line(run("info", tmp_path).stderr)
