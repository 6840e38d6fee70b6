"""Save maps: in which format, and where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from plugin_cases import make_explanation, make_volume
from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

from napari_hirescam.plugin.saving import MapSaver
from napari_hirescam.source import Frame, Source

NIFTI, NRRD, DICOM = (
    "NIfTI (.nii.gz)",
    "NRRD (.nrrd)",
    "DICOM Parametric Map over the CT's series (.dcm)",
)


@pytest.fixture
def saver(qtbot, monkeypatch, tmp_path) -> MapSaver:
    widget = QWidget()
    qtbot.addWidget(widget)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    return MapSaver(widget)


@pytest.fixture
def asked(monkeypatch):
    """Answers the question for the format; keeps what was offered, and what first."""
    answers, seen = [], []

    def get_item(_parent, _title, _label, offered, first, _editable):
        seen.append((offered, offered[first]))
        answer = answers.pop(0)
        return answer, bool(answer)

    monkeypatch.setattr(QInputDialog, "getItem", get_item)
    return answers, seen


def save(qtbot, saver, volume) -> None:
    saver.ask_and_save(make_explanation(), volume, ["nodule"], ["hirescam"], "receptive_field")
    qtbot.waitUntil(lambda: saver.job is None, timeout=10000)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_maps_are_written_in_the_format_that_was_chosen(qtbot, saver, asked, tmp_path):
    asked[0].extend([NRRD])
    save(qtbot, saver, make_volume())
    assert names(tmp_path) == ["chest_nodule_hirescam.nrrd", "scores.json"]


def test_no_answer_saves_nothing(qtbot, saver, asked, tmp_path):
    asked[0].extend([""])
    save(qtbot, saver, make_volume())
    assert names(tmp_path) == []


def test_dicom_is_offered_over_a_series_only_and_the_last_choice_first(
    qtbot, saver, asked, monkeypatch
):
    volume = make_volume()
    frames = (Frame(Path("1.dcm"), "", "1", None, (0, 0, 0)),)
    over_series = replace(
        volume, source=Source(Path("series"), "DICOM", volume.grid, "LPS", frames=frames)
    )
    answers, seen = asked
    monkeypatch.setattr(saver, "save", lambda *_, **__: None)
    answers.extend([NIFTI, DICOM, NRRD])
    save(qtbot, saver, volume)
    save(qtbot, saver, over_series)
    save(qtbot, saver, over_series)
    assert seen == [
        ([NIFTI, NRRD], NIFTI),
        ([NIFTI, NRRD, DICOM], NIFTI),
        ([NIFTI, NRRD, DICOM], DICOM),
    ]
