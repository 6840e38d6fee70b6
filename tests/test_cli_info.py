"""info for scans, and how the command line answers what a reader asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_factory import make_series, save_all
from nifti_factory import CT, save
from typer.testing import CliRunner

from napari_hirescam.cli import app
from napari_hirescam.sample import sample_model_path


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
