"""RAD-ChestCT as published becomes cases: labels, sides, splits, patients, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hirescam.cases import check_cases, read_rad_chestct
from napari_hirescam.cases.rad_chestct_labels import (
    LUNG_SPECIFIC,
    LabelReader,
    labels_of,
    rule_of,
)
from napari_hirescam.errors import CaseTableError
from napari_hirescam.models.label_lists import read_label_list
from tests.rad_chestct_factory import (
    ABNORMALITIES,
    COLUMNS,
    LOCATIONS,
    cohort,
    label_table,
    metadata,
    scan,
)

SMALL = np.random.default_rng(1).integers(-1000, 1001, (4, 5, 5)).astype(np.int16)


def published(folder, reports, **options):
    """Write scans and tables: split -> accession -> reported columns."""
    for split, of_split in reports.items():
        label_table(folder, split, of_split, **options)
        for accession in of_split:
            scan(folder, accession, SMALL)


def one(folder, *columns, labels="radchest-80", **options):
    """Read the one case of which these columns are reported."""
    published(folder, {"train": {"trn00001": columns}})
    (case,) = read_rad_chestct(folder, labels, **options).cases
    return case


def present(case):
    return {label for label, is_there in case.labels.items() if is_there}


# --- The format ----------------------------------------------------------------------------


def test_the_tables_have_84_abnormalities_at_52_locations():
    assert len(ABNORMALITIES) == len(set(ABNORMALITIES)) == 84
    assert len(LOCATIONS) == len(set(LOCATIONS)) == 52
    assert len(COLUMNS) == 4368


def test_each_table_is_a_split_and_each_row_a_scan_of_it(tmp_path):
    published(
        tmp_path,
        {
            "train": {"trn00002": ["mass*left_upper"], "trn00001": []},
            "valid": {"val00001": []},
            "test": {"tst00001": ["cardiomegaly*heart"]},
        },
    )
    table = read_rad_chestct(tmp_path)
    assert table.labels == read_label_list("radchest-80")
    assert [(case.name, case.split) for case in table.cases] == [
        ("trn00002", "train"),
        ("trn00001", "train"),
        ("val00001", "valid"),
        ("tst00001", "test"),
    ]
    assert [present(case) for case in table.cases] == [
        {"lung_mass"},
        set(),
        set(),
        {"heart_cardiomegaly"},
    ]
    # A label that is not present is absent: none of the table's is unknown.
    assert all(set(case.labels) == set(table.labels) for case in table.cases)
    ct = table.cases[0].ct()
    assert (ct.name, ct.voxels.shape, ct.spacing_mm) == ("trn00002", (4, 5, 5), (0.8, 0.8, 0.8))
    assert table.cases[0].organs() is None
    assert pickle.loads(pickle.dumps(table)) == table  # noqa: S301 - our own, for worker processes


def test_a_made_cohort_is_read_whole(tmp_path):
    reports = cohort(tmp_path, 2, 1, 1, shape=(9, 12, 12))
    table = read_rad_chestct(tmp_path, "radchest-9")
    assert [case.name for case in table.cases] == list(reports)
    for case in table.cases:
        told = {column.partition("*")[0] for column in reports[case.name]}
        assert present(case) == told & set(table.labels)
    assert len({case.patient for case in table.cases}) == 4
    assert table.notes == ()
    check_cases(table, need_organs=True)


@pytest.mark.parametrize("written", [str, lambda k: f"{k}.0", lambda k: f" {k}", bool])
def test_zeros_and_ones_may_be_written_in_any_way_that_is_met(tmp_path, written):
    label_table(tmp_path, "test", {"tst00001": ["mass*left_lung"]}, written=written)
    scan(tmp_path, "tst00001", SMALL)
    (case,) = read_rad_chestct(tmp_path).cases
    assert present(case) == {"lung_mass"}
    assert case.allowed == {"lung_mass": ("left_lung",)}


def test_rows_in_several_ways_and_further_columns_are_read_and_said(tmp_path):
    path = label_table(tmp_path, "test", {"tst00001": ["mass*left_lung"], "tst00002": []})
    heading, first, second = path.read_text().splitlines()
    cells = second.split(",")
    cells[1 + COLUMNS.index("cyst*right_mid")] = " 1.0"
    path.write_text("\r\n".join([f"{heading},comment", f"{first},x", ",".join([*cells, '"a,b"'])]))
    for name in ("tst00001", "tst00002"):
        scan(tmp_path, name, SMALL)
    table = read_rad_chestct(tmp_path)
    assert [present(case) for case in table.cases] == [{"lung_mass"}, {"lung_cyst"}]
    assert any("Ignored columns" in note and "comment" in note for note in table.notes)


def test_more_rows_than_are_read_at_a_time_keep_their_order(tmp_path):
    names = [f"trn{k:05d}" for k in range(2500)]
    reports = {name: ["mass*rib"] if k % 3 == 0 else [] for k, name in enumerate(names)}
    label_table(tmp_path, "train", reports, columns=("mass*rib", "cyst*rib"))
    for name in names:
        (tmp_path / f"{name}.npz").touch()
    table = read_rad_chestct(tmp_path, ["mass"])
    assert [case.name for case in table.cases] == names
    assert [case.labels["mass"] for case in table.cases] == [k % 3 == 0 for k in range(2500)]


# --- Labels and their organs ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "label", "organs"),
    [
        ("aneurysm*aorta", "h_great_vessel_aneurysm", ("great_vessel",)),
        ("mass*hilum", "h_mediastinum_mass", ("mediastinum",)),
        ("calcification*mitral_valve", "heart_calcification", ("heart",)),
        ("heart_failure*heart", "heart_heart_failure", ("heart",)),
        ("nodule*left_mid", "lung_nodule", ("left_lung",)),
        ("nodule*right_lung", "lung_nodule", ("right_lung",)),
        ("pneumonia*right_upper", "lung_pneumonia", ("right_lung",)),
        ("lung_resection*left_lung", "lung_lung_resection", ("left_lung",)),
        # Of a lung by its nature, and no side is told: both.
        ("pneumonia*lung", "lung_pneumonia", ("left_lung", "right_lung")),
        ("pleural_effusion*other_location", "lung_pleural_effusion", ("left_lung", "right_lung")),
    ],
)
def test_a_reported_finding_sets_its_label_and_the_organ_it_lies_in(
    tmp_path, column, label, organs
):
    case = one(tmp_path, column)
    assert present(case) == {label}
    assert case.allowed == {label: organs}


@pytest.mark.parametrize("column", ["nodule*lung", "mass*airways", "nodule*liver", "mass*right"])
def test_a_finding_that_may_be_anywhere_counts_only_with_a_side(tmp_path, column):
    case = one(tmp_path, column)
    assert present(case) == set()
    assert case.allowed == {}


def test_a_finding_in_both_lungs_is_one_label_with_two_organs(tmp_path):
    case = one(tmp_path, "nodule*left_upper", "nodule*right_lower")
    assert present(case) == {"lung_nodule"}
    assert case.allowed == {"lung_nodule": ("left_lung", "right_lung")}


def test_the_reference_gives_a_lung_finding_both_lungs_whatever_the_report_says(tmp_path):
    columns = ("pneumonia*right_upper", "nodule*left_upper")
    assert one(tmp_path, *columns).allowed == {
        "lung_pneumonia": ("right_lung",),
        "lung_nodule": ("left_lung",),
    }
    assert one(tmp_path, *columns, sides="reference").allowed == {
        "lung_pneumonia": ("left_lung", "right_lung"),
        "lung_nodule": ("left_lung",),
    }


@pytest.mark.parametrize("labels", ["radchest-83", "radchest-9", ["nodule"]])
def test_an_abnormality_by_itself_is_present_wherever_it_is_reported(tmp_path, labels):
    case = one(tmp_path, "nodule*liver", labels=labels)
    assert present(case) == {"nodule"}
    assert case.allowed == {}  # the liver is no organ that PARTITION finds


@pytest.mark.parametrize(
    ("columns", "organs"),
    [
        (["nodule*left_upper"], ("left_lung",)),
        (["nodule*lung"], ("left_lung", "right_lung")),
        (["nodule*lung", "nodule*right_lung"], ("right_lung",)),
        (["nodule*hilum", "nodule*left_mid"], ("left_lung", "mediastinum")),
        (["nodule*heart", "nodule*aorta"], ("great_vessel", "heart")),
    ],
)
def test_an_abnormality_by_itself_lies_in_the_organs_its_report_names(tmp_path, columns, organs):
    assert one(tmp_path, *columns, labels=["nodule"]).allowed == {"nodule": organs}


def test_names_that_begin_like_an_organ_are_understood():
    known = set(ABNORMALITIES)
    assert rule_of("heart_failure", known).organs == ()
    assert rule_of("heart_heart_failure", known).abnormality == "heart_failure"
    assert rule_of("lung_resection", known).organs == ()
    assert rule_of("lung_lung_resection", known).organs == ("left_lung", "right_lung")
    for name in ("radchest-80", "radchest-83", "radchest-9"):
        assert [rule_of(label, known).label for label in labels_of(name)] == list(labels_of(name))


def test_of_80_labels_22_are_of_the_lungs_by_nature():
    rules = [rule_of(label, ABNORMALITIES) for label in labels_of("radchest-80")]
    of_lung = [rule for rule in rules if rule.organs == ("left_lung", "right_lung")]
    assert len(of_lung) == 51
    assert len(LUNG_SPECIFIC) == 27
    assert sum(rule.abnormality in LUNG_SPECIFIC for rule in of_lung) == 22


def by_the_book(label, told, sides):
    """The rules of the paper's labels, read slowly: (present, organs) of one report.

    ``told`` are (abnormality, location) pairs of a report.
    """
    left = {"left_upper", "left_mid", "left_lower", "left_lung"}
    right = {"right_upper", "right_mid", "right_lower", "right_lung"}
    groups = {
        "h_great_vessel_": {"aorta", "svc", "ivc", "pulmonary_artery", "pulmonary_vein"},
        "h_mediastinum_": {"mediastinum", "hilum"},
        "heart_": {
            *("heart", "mitral_valve", "aortic_valve", "tricuspid_valve", "pulmonary_valve")
        },
    }
    for prefix, locations in groups.items():
        if label.startswith(prefix):
            name = label[len(prefix) :]
            is_there = any((name, place) in told for place in locations)
            organ = prefix.strip("_").removeprefix("h_")
            return is_there, {organ} if is_there else set()
    name = label[len("lung_") :]
    organs = set()
    if any((name, place) in told for place in left):
        organs.add("left_lung")
    if any((name, place) in told for place in right):
        organs.add("right_lung")
    if name in read_label_list("radchest-83")[:27]:  # the tables begin with the lungs' own
        anywhere = any(abnormality == name for abnormality, _ in told)
        if anywhere and (not organs or sides == "reference"):
            organs = {"left_lung", "right_lung"}
    return bool(organs), organs


PAIRS = tuple(tuple(column.split("*")) for column in COLUMNS)


@settings(max_examples=40, deadline=None)
@given(
    reports=st.lists(st.sets(st.sampled_from(PAIRS), max_size=25), min_size=1, max_size=3),
    sides=st.sampled_from(["reported", "reference"]),
)
def test_labels_and_organs_are_those_of_a_slow_reading(reports, sides):
    labels = labels_of("radchest-80")
    reader = LabelReader([rule_of(label, ABNORMALITIES) for label in labels], PAIRS, sides)
    reported = np.array([[pair in told for pair in PAIRS] for told in reports], dtype=np.uint8)
    for label, found in zip(labels, reader.read(reported), strict=True):
        for k, told in enumerate(reports):
            is_there, organs = by_the_book(label, told, sides)
            assert found.present[k] == is_there
            assert {organ for organ, here in found.organs.items() if here[k]} == organs


# --- Patients and choices ------------------------------------------------------------------


def test_patients_come_from_the_metadata(tmp_path):
    published(tmp_path, {"train": {"trn00001": [], "trn00002": [], "trn00003": []}})
    metadata(tmp_path, {"trn00001": "mrn00007", "trn00002": "mrn00007"})
    table = read_rad_chestct(tmp_path)
    assert [case.patient for case in table.cases] == ["mrn00007", "mrn00007", "trn00003"]
    assert any("patients of 1 scans" in note for note in table.notes)


def test_without_metadata_each_scan_is_a_patient_and_that_is_said(tmp_path):
    published(tmp_path, {"train": {"trn00001": [], "trn00002": []}})
    table = read_rad_chestct(tmp_path)
    assert [case.patient for case in table.cases] == ["trn00001", "trn00002"]
    assert any("patients of 2 scans" in note for note in table.notes)


def test_a_patient_in_two_splits_is_refused_without_being_named(tmp_path):
    published(tmp_path, {"train": {"trn00001": []}, "test": {"tst00001": []}})
    metadata(tmp_path, {"trn00001": "mrn00007", "tst00001": "mrn00007"})
    with pytest.raises(CaseTableError, match=r"trn00001 .* tst00001 .* one patient") as caught:
        read_rad_chestct(tmp_path)
    assert "mrn00007" not in str(caught.value)


def test_tables_may_lie_elsewhere_and_a_split_may_be_missing(tmp_path):
    scans, tables = tmp_path / "images", tmp_path / "tables"
    scans.mkdir()
    tables.mkdir()
    label_table(tables, "valid", {"val00001": []})
    scan(scans, "val00001", SMALL)
    table = read_rad_chestct(scans, tables=tables)
    assert [case.split for case in table.cases] == ["valid"]
    assert sum("no cases" in note for note in table.notes) == 2
    with pytest.raises(CaseTableError, match="no case is in split 'train'"):
        table.of("train")


def test_the_first_cases_of_a_split_can_be_asked_for(tmp_path):
    reports = {"train": dict.fromkeys(["trn00003", "trn00001", "trn00002"], ())}
    published(tmp_path, reports | {"valid": {"val00001": []}})
    (tmp_path / "trn00001.npz").unlink()
    table = read_rad_chestct(tmp_path, at_most={"train": 2}, only_present=True)
    assert [case.name for case in table.cases] == ["trn00003", "trn00002", "val00001"]


def test_accessions_without_a_file_are_counted_and_some_are_named(tmp_path):
    published(tmp_path, {"train": {f"trn{k:05d}": [] for k in range(9)}})
    for k in range(7):
        (tmp_path / f"trn{k:05d}.npz").unlink()
    with pytest.raises(CaseTableError, match=r"7 of 9 accessions .* trn00004 \.\.\.") as caught:
        read_rad_chestct(tmp_path)
    assert "trn00005" not in str(caught.value)
    table = read_rad_chestct(tmp_path, only_present=True)
    assert [case.name for case in table.cases] == ["trn00007", "trn00008"]
    assert any("7 of 9" in note for note in table.notes)


def test_tables_of_which_no_scan_is_there_are_refused_however(tmp_path):
    label_table(tmp_path, "train", {"trn00001": []})
    with pytest.raises(CaseTableError, match="1 of 1 accessions"):
        read_rad_chestct(tmp_path, only_present=True)


# --- What is refused -----------------------------------------------------------------------


def broken(folder, change, **options):
    path = label_table(folder, "train", {"trn00001": [], "trn00002": []}, **options)
    for name in ("trn00001", "trn00002"):
        scan(folder, name, SMALL)
    path.write_text(change(path.read_text()))
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace("trn00002", "trn00001"), "trn00001 is listed twice"),
        (lambda text: text.replace("trn00002,0", "trn00002,2"), "row 3 .* has '2' in column"),
        (lambda text: text.replace("trn00002,0", "trn00002,"), "row 3 .* has '' in column"),
        (lambda text: text.replace("trn00002,0", "trn00002"), "row 3 has 4368 cells .* 4369"),
        # As many bytes as the cells should have, but other cells.
        (lambda text: text.replace("trn00002,0,0,0", "trn00002,0,,00"), "row 3 .* has '' in"),
        (lambda text: text.replace(",0", ",0.5"), r"row 2 .* has '0\.5' in column"),
        (lambda text: text.replace("trn00002", "../secret"), "row 3 has no accession"),
        (lambda text: text.replace("NoteAcc_DEID", "id"), "its first column is 'id'"),
        (lambda text: text.replace("*", "_"), r"none of its columns is called abnormality\*loc"),
        (lambda text: text.replace("*right_mid", "*left_mid"), "left_mid is there twice"),
        (lambda text: text.replace("nodule*", "knot*"), "no abnormality for 2 of 80 labels"),
        (lambda text: "", "its first column is nothing"),
        (lambda text: text.splitlines()[0], "the tables list no accession"),
    ],
)
def test_a_malformed_table_is_refused_by_row_and_column(tmp_path, change, reason):
    broken(tmp_path, change)
    with pytest.raises(CaseTableError, match=reason):
        read_rad_chestct(tmp_path)


def test_an_accession_in_two_tables_is_refused(tmp_path):
    published(tmp_path, {"train": {"trn00001": []}, "valid": {"trn00001": []}})
    with pytest.raises(CaseTableError, match="trn00001 is listed twice"):
        read_rad_chestct(tmp_path)


def test_a_table_that_is_no_text_is_refused(tmp_path):
    path = broken(tmp_path, lambda text: text)
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(CaseTableError, match="cannot be read"):
        read_rad_chestct(tmp_path)


def test_metadata_that_do_not_tell_the_patient_are_refused(tmp_path):
    published(tmp_path, {"train": {"trn00001": []}})
    (tmp_path / "CT_Scan_Metadata_Complete_35747.csv").write_text("NoteAcc_DEID,x\ntrn00001,1\n")
    with pytest.raises(CaseTableError, match="no columns NoteAcc_DEID and MRN_DEID"):
        read_rad_chestct(tmp_path)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ("radchest-7", "no list of labels 'radchest-7'"),
        ([], "no label is listed"),
        (["mass", "mass"], "mass is listed twice"),
        (["heart_burn"], "no abnormality for 1 of 1 labels: heart_burn"),
    ],
)
def test_labels_that_cannot_be_made_are_refused(tmp_path, labels, reason):
    published(tmp_path, {"train": {"trn00001": []}})
    with pytest.raises(CaseTableError, match=reason):
        read_rad_chestct(tmp_path, labels)


def test_a_folder_without_tables_or_that_is_none_is_refused(tmp_path):
    with pytest.raises(CaseTableError, match="holds no table"):
        read_rad_chestct(tmp_path)
    published(tmp_path, {"train": {"trn00001": []}})
    with pytest.raises(CaseTableError, match="cannot be read"):
        read_rad_chestct(tmp_path / "nowhere", tables=tmp_path)


def test_a_damaged_scan_is_found_before_anything_slow_begins(tmp_path):
    published(tmp_path, {"train": {"trn00001": [], "trn00002": []}})
    table = read_rad_chestct(tmp_path)
    check_cases(table)
    (tmp_path / "trn00002.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(CaseTableError, match=r"trn00002: trn00002\.npz"):
        check_cases(table)


def test_the_whole_data_set_is_read_in_seconds(tmp_path):
    """36,316 rows take under 5 s; a tenth of them is made here, and reads in a tenth of it."""
    import time

    row = ",0" * len(COLUMNS)
    path = label_table(tmp_path, "train", {})
    names = [f"trn{k:05d}" for k in range(3632)]
    with path.open("a") as stream:
        stream.writelines(f"{name}{row}\n" for name in names)
    for name in names:
        (tmp_path / f"{name}.npz").touch()
    began = time.process_time()
    table = read_rad_chestct(tmp_path)
    assert len(table.cases) == 3632
    assert time.process_time() - began < 2.0  # 0.25 s on a quiet machine
