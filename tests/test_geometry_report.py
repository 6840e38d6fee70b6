"""The geometry report: what was stored, what is shown, what was mended; and nobody's name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import metaimage_factory
import nrrd_factory
import numpy as np
import pytest
from dicom_factory import make_series, save_all
from nifti_factory import RAS, save

from napari_hirescam.geometry_report import (
    effect_of,
    geometry_report,
    is_doubtful,
    report_as_text,
    title_of,
)
from napari_hirescam.io import identifying_facts, read_volume
from napari_hirescam.source import Fact, Repair, Repaired, Segment, Source
from napari_hirescam.volume import Grid, Quantity, Volume

AFFINE = np.array([[2.5, 0, 0, -100.0], [0, 0.75, 0, -50.0], [0, 0, 0.75, 25.0], [0, 0, 0, 1]])


def volume(**changes) -> Volume:
    return Volume(np.zeros((4, 5, 6), np.int16), AFFINE, "chest", **changes)


def source(**changes) -> Source:
    return Source(Path("scans") / "chest.nrrd", "NRRD", Grid((6, 5, 4), AFFINE), "LPS", **changes)


def find(report, section: str, name: str) -> Fact:
    (fact,) = [one for one in report if (one.section, one.name) == (section, name)]
    return fact


def sections(report) -> list[str]:
    return list(dict.fromkeys(fact.section for fact in report))


def test_it_says_where_the_volume_lies_as_it_is_shown():
    report = geometry_report(volume(source=source()))
    assert find(report, "As shown", "Slices, rows, columns").value == "4 x 5 x 6"
    assert find(report, "As shown", "Spacing").value == "2.5 x 0.75 x 0.75 mm"
    # Inferior -100 is superior 100.
    assert find(report, "As shown", "First voxel at L, P, S").value == "25.00, -50.00, 100.00 mm"
    assert "HU" in find(report, "As shown", "Values").value


def test_where_a_reader_tells_nothing_the_stored_grid_is_reported():
    report = geometry_report(volume(source=source()))
    assert find(report, "Stored grid", "Axes grow to").value == "LPS (left, posterior, superior)"
    assert find(report, "Stored grid", "Size").value == "6 x 5 x 4"
    own = (Fact("Orientation", "Stored axes grow to", "left, posterior, superior"),)
    report = geometry_report(volume(source=source(facts=own)))
    assert "Stored grid" not in sections(report)
    assert own[0] in report


def test_a_volume_without_a_file_has_a_report_too():
    assert sections(geometry_report(volume())) == ["As shown"]
    assert not is_doubtful(volume())


def test_a_repair_is_named_with_its_consent_before_anything_the_file_says():
    done = (
        Repaired(Repair.INSERT_MISSING, "2 slices were inserted", asked=True),
        Repaired(Repair.STRAIGHTEN, "15 degrees", asked=False),
    )
    mended = volume(source=source(repaired=done, facts=(Fact("Slices", "Count", "9"),)))
    report = geometry_report(mended)
    inserted = find(report, "Repairs", "Insert blank slices")
    assert (inserted.value, inserted.remark) == ("2 slices were inserted", "done with your consent")
    assert "invents nothing" in find(report, "Repairs", "Straighten").remark
    assert sections(report)[:3] == ["File", "Repairs", "Slices"]
    assert is_doubtful(mended)


def _dicom(folder: Path) -> Path:
    """As GE saves a chest: overlapping slices, and padding that it does not declare."""
    slices = make_series(SliceThickness=2.5, SpacingBetweenSlices=2.0)
    for one in slices:
        pixels = np.frombuffer(one.dataset.PixelData, np.uint16).astype(np.int32) - 1024
        pixels[:3] = -2000
        one.dataset.PixelRepresentation, one.dataset.RescaleIntercept = 1, 0
        one.dataset.PixelData = pixels.astype(np.int16).tobytes()
    return save_all(slices, folder)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: save(folder / "sform only, no unit.nii.gz", sform=2, qform=0, xyzt_units=0),
        lambda folder: save(folder / "qform only.nii", sform=0, qform=1),
        lambda folder: nrrd_factory.save(folder / "raw.nrrd"),
        lambda folder: metaimage_factory.save(folder / "raw.mha"),
        _dicom,
    ],
    ids=["sform only", "qform only", "raw NRRD", "raw MetaImage", "GE"],
)
def test_what_many_files_lack_or_have_is_told_without_a_remark(tmp_path, make):
    # A remark opens the report by itself: not for every second file of a radiology group.
    read = read_volume(make(tmp_path))
    assert [fact for fact in read.source.facts if fact.remark] == []
    assert read.source.notes == ()


def test_only_a_scan_with_a_remark_or_an_agreed_repair_is_doubtful():
    straightened = Repaired(Repair.STRAIGHTEN, "15 degrees", asked=False)
    assert not is_doubtful(volume(source=source(repaired=(straightened,))))
    fine, odd = Fact("Slices", "Spacing", "2 mm"), Fact("Slices", "Gap", "4 mm", "too wide")
    assert not is_doubtful(volume(source=source(facts=(fine,), notes=("Not read: a scout.",))))
    assert is_doubtful(volume(source=source(facts=(fine, odd))))


def test_a_note_is_told_once():
    facts = (Fact("Numbers", "NaN", "3 voxels", "They were set to air."),)
    notes = ("They were set to air.", "Another series lies beside it.")
    report = geometry_report(volume(source=source(facts=facts, notes=notes)))
    remarks = [fact.value for fact in report if fact.section == "Remarks"]
    assert remarks == ["Another series lies beside it."]


def test_rows_of_one_section_stand_together():
    facts = (Fact("A", "1", ""), Fact("B", "2", ""), Fact("A", "3", ""))
    report = geometry_report(volume(source=source(facts=facts)))
    assert [fact.name for fact in report if fact.section in "AB"] == ["1", "3", "2"]


def test_what_is_not_measured_and_what_is_named_is_counted():
    invalid = np.zeros((4, 5, 6), bool)
    invalid[1] = True
    mask = replace(
        volume(invalid=invalid),
        quantity=Quantity.LABELS,
        segments=(Segment(1, "liver"), Segment(2, "spleen")),
    )
    report = geometry_report(mask)
    assert find(report, "As shown", "Not measured").value == "25.0% of the voxels"
    assert find(report, "As shown", "Named segments").value == "2"


def test_as_text_every_value_and_remark_stands_under_its_section():
    text = report_as_text(
        "chest", (Fact("Slices", "Count", "9"), Fact("Slices", "Gap", "4 mm", "too wide"))
    )
    assert text.splitlines() == [
        "chest",
        "",
        "Slices",
        "  Count  9",
        "  Gap    4 mm",
        "         ! too wide",
    ]


def test_every_repair_has_a_name_and_an_honest_effect():
    titles = {title_of(repair) for repair in Repair}
    assert len(titles) == len(Repair)
    for repair in Repair:
        assert len(effect_of(repair)) > 30
        assert not effect_of(repair).endswith(".")


PRIVATE = {
    "PatientName": "Doe^Jane",
    "PatientID": "MRN-4711",
    "PatientBirthDate": "19710203",
    "AccessionNumber": "ACC-99",
    "InstitutionName": "General Hospital",
    "ReferringPhysicianName": "House^Gregory",
    "StudyDate": "20240131",
    "OperatorsName": "Operator^Olga",
}


def test_nothing_that_identifies_the_patient_is_in_it(tmp_path):
    read = read_volume(save_all(make_series(5, **PRIVATE), tmp_path / "series"))
    text = report_as_text(read.name, geometry_report(read)) + str(read.source.details)
    for value in PRIVATE.values():
        for word in value.split("^"):
            assert word not in text


def test_identifying_tags_are_read_on_demand(tmp_path):
    folder = save_all(make_series(5, **PRIVATE), tmp_path / "series")
    values = " ".join(fact.value for fact in identifying_facts(folder))
    assert "MRN-4711" in values
    assert "Doe" in values
    assert identifying_facts(save(tmp_path / "ct.nii.gz")) == ()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_reported_first_voxel_is_the_one_of_the_file(tmp_path, sign):
    ras = RAS @ np.diag([sign, 1, 1, 1])
    read = read_volume(save(tmp_path / "ct.nii.gz", ras=ras))
    told = find(geometry_report(read), "As shown", "First voxel at L, P, S").value
    left, posterior, superior = (float(one) for one in told.removesuffix(" mm").split(","))
    index = np.linalg.inv(ras) @ [-left, -posterior, superior, 1]
    assert np.allclose(index, np.rint(index), atol=0.02)
    # Slices, rows and columns begin at the top, in front and at the right.
    assert superior == pytest.approx(max(ras[2, 3], (ras @ [0, 0, 7, 1])[2]), abs=0.01)
