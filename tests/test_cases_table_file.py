"""A table of files becomes cases: its columns, its cells, its files, and what is refused."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hirescam.cases import check_cases, read_case_table, split_by_patient
from napari_hirescam.cases.rows import read_truth
from napari_hirescam.errors import CaseTableError, OrganError, VolumeError
from napari_hirescam.io import write_volume
from napari_hirescam.source import Segment
from napari_hirescam.volume import Grid, scaling, translation

SHAPE = (6, 8, 10)
AFFINE = scaling((3.0, 2.0, 2.0)) @ translation((10.0, -20.0, 5.0))
GRID = Grid(SHAPE, AFFINE)
RNG = np.random.default_rng(3)
HU = RNG.integers(-900, 300, SHAPE).astype(np.int16)

# Columns 0-2 right lung, 3-6 heart, 7-9 left lung; the mass is one voxel in the left lung.
ORGANS = np.repeat(np.array([1, 1, 1, 2, 2, 2, 2, 3, 3, 3], dtype=np.uint8)[None, None], 6, axis=0)
ORGANS = np.repeat(ORGANS, 8, axis=1)
MASS = np.zeros(SHAPE, dtype=np.uint8)
MASS[2, 3, 8] = 1
NAMED = (Segment(1, "right lung"), Segment(2, "heart"), Segment(3, "left lung"))


@pytest.fixture
def study(tmp_path):
    """Lay out a folder of two CTs and their masks."""
    (tmp_path / "cts").mkdir()
    for name in ("a", "b"):
        write_volume(tmp_path / "cts" / f"{name}.nii.gz", HU, GRID)
    write_volume(tmp_path / "organs.nii.gz", ORGANS, GRID, segments=NAMED)
    write_volume(tmp_path / "plain.nii.gz", ORGANS, GRID)
    write_volume(tmp_path / "mass.nii.gz", MASS, GRID)
    (tmp_path / "values.csv").write_text("organ,values\nlungs,1;3\nheart,2\n")
    return tmp_path


def table(folder, text, name="cases.csv", encoding="utf-8"):
    (folder / name).write_text(text, encoding=encoding)
    return folder / name


def read(folder, text, *arguments, **options):
    return read_case_table(table(folder, text), *arguments, **options)


# --- What a table says ---------------------------------------------------------------------


def test_a_row_is_a_case(study):
    cases = read(
        study,
        "case,patient,split,ct,masks,organ_table,lesion_mass,mass,effusion\n"
        "one,p1,train,cts/a.nii.gz,organs.nii.gz,,mass.nii.gz,1,0\n"
        "two,p2,test,cts/b.nii.gz,plain.nii.gz,values.csv,,0,\n",
    )
    assert cases.name == "cases.csv"
    assert cases.labels == ("mass", "effusion")
    one, two = cases.cases
    assert (one.name, one.patient, one.split) == ("one", "p1", "train")
    assert one.labels == {"mass": True, "effusion": False}
    assert two.labels == {"mass": False}  # nobody knows of an effusion
    ct = one.ct()
    assert ct.name == "one"
    np.testing.assert_array_equal(ct.voxels, HU)
    np.testing.assert_array_equal(one.organs(ct).mask(["left_lung"]), ORGANS == 3)
    np.testing.assert_array_equal(two.organs().mask(["lungs"]), ORGANS != 2)
    lesions = one.lesions(ct)
    assert list(lesions) == ["mass"]
    np.testing.assert_array_equal(lesions["mass"], MASS == 1)
    assert two.lesions() == {}
    check_cases(cases)
    assert pickle.loads(pickle.dumps(cases)) == cases  # noqa: S301 - for worker processes


def test_a_point_of_a_mask_on_another_grid_comes_to_its_place(study):
    finer = Grid((12, 16, 20), scaling((1.5, 1.0, 1.0)) @ translation((20, -40, 10)))
    finer = Grid(finer.shape, np.array(finer.affine) @ translation((-0.5, -0.5, -0.5)))
    mass = np.kron(MASS, np.ones((2, 2, 2), dtype=np.uint8))
    # Voxel (2, 3, 8) of the CT and the eight finer voxels have one middle.
    assert GRID.to_world((2, 3, 8)) == pytest.approx(finer.to_world((4.5, 6.5, 16.5)))
    write_volume(study / "fine.nii.gz", mass, finer)
    cases = read(study, "case,ct,lesion_mass,mass\none,cts/a.nii.gz,fine.nii.gz,1\n")
    check_cases(cases)
    np.testing.assert_array_equal(cases.cases[0].lesions()["mass"], MASS == 1)


def test_one_label_map_may_hold_all_lesions(study):
    both = np.where(MASS == 1, 1, 0).astype(np.uint8)
    both[0, 0, :4] = 2
    names = (Segment(1, "mass"), Segment(2, "effusion"))
    write_volume(study / "lesions.nii.gz", both, GRID, segments=names)
    write_volume(study / "unnamed.nii.gz", both, GRID)
    (study / "lesions.csv").write_text("organ,values\neffusion,2\n")
    cases = read(
        study,
        "case,ct,lesions,lesion_table,mass,effusion\n"
        "one,cts/a.nii.gz,lesions.nii.gz,,1,1\n"
        "two,cts/b.nii.gz,unnamed.nii.gz,lesions.csv,1,1\n",
    )
    first, second = (case.lesions() for case in cases.cases)
    assert set(first) == {"mass", "effusion"}
    np.testing.assert_array_equal(first["effusion"], both == 2)
    assert list(second) == ["effusion"]


def test_a_folder_with_a_file_for_each_organ_serves_as_masks(study):
    (study / "masks").mkdir()
    for name, value in {"lung_left": 3, "lung_right": 1, "heart": 2}.items():
        write_volume(study / "masks" / f"{name}.nii.gz", (value == ORGANS).astype(np.uint8), GRID)
    cases = read(study, "case,ct,masks,x\none,cts/a.nii.gz,masks,1\n")
    check_cases(cases)
    np.testing.assert_array_equal(cases.cases[0].organs().mask(["lungs"]), ORGANS != 2)


def test_a_case_may_allow_a_label_its_own_organs(study):
    text = "case,ct,allowed_mass,mass\none,cts/a.nii.gz,Left lung; heart,1\ntwo,cts/b.nii.gz,,1\n"
    one, two = read(study, text).cases
    assert one.organs_of("mass", {"mass": ("lungs",)}) == ("left_lung", "heart")
    assert two.organs_of("mass", {"mass": ("lungs",)}) == ("lungs",)


def test_further_columns_are_ignored_and_named(study):
    text = "case,ct,age,mass,comment\none,cts/a.nii.gz,61,1,\ntwo,cts/b.nii.gz,1,0,a b\n"
    cases = read(study, text)
    assert cases.labels == ("mass",)
    assert "Taken as labels: mass." in cases.notes
    assert "Ignored columns: age, comment." in cases.notes
    assert any("no column 'patient'" in note for note in cases.notes)
    assert [case.patient for case in cases.cases] == ["one", "two"]


def test_labels_may_be_named_and_keep_their_order(study):
    text = "case,ct,mass,effusion\none,cts/a.nii.gz,1,0\n"
    assert read(study, text, ["effusion", "mass"]).labels == ("effusion", "mass")
    with pytest.raises(CaseTableError, match="no column for 1 of 2 labels: nodule"):
        read(study, text, ["nodule", "mass"])
    lenient = read(study, text, ["nodule", "mass"], all_labels_needed=False)
    assert lenient.labels == ("nodule", "mass")
    assert lenient.cases[0].labels == {"mass": True}
    assert "No column tells of nodule: unknown for every case." in lenient.notes
    with pytest.raises(CaseTableError, match="no column for 1 of 1 labels"):
        read(study, text, ["nodule"], all_labels_needed=False)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_of_several_spreadsheets_are_read(study, delimiter, encoding, end):
    rows = [["case", "ct", "note", "mass"], ["one", "cts/a.nii.gz", "schön", "1"], [], [" two "]]
    rows[-1] += ["cts/b.nii.gz", "", " 0.0 "]
    path = study / "cases.csv"
    path.write_bytes(end.join(delimiter.join(row) for row in rows).encode(encoding))
    cases = read_case_table(path)
    assert [(case.name, case.labels["mass"]) for case in cases.cases] == [
        ("one", True),
        ("two", False),
    ]
    assert [case.row for case in cases.cases] == [2, 4]


def test_parquet_reads_like_csv(study):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {"case": ["one", "two"], "ct": ["cts/a.nii.gz", "cts/b.nii.gz"], "mass": [1.0, None]}
    )
    frame.to_parquet(study / "cases.parquet")
    one, two = read_case_table(study / "cases.parquet").cases
    assert (one.labels, two.labels) == ({"mass": True}, {})


@pytest.mark.parametrize(
    ("written", "split"),
    [("train", "train"), ("VALID", "valid"), ("val", "valid"), ("test", "test"), ("", None)],
)
def test_splits_by_their_usual_names(study, written, split):
    (case,) = read(study, f"case,split,ct,x\none,{written},cts/a.nii.gz,1\n").cases
    assert case.split == split


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=6))
def test_a_cell_is_a_truth_unknown_or_refused(text):
    try:
        value = read_truth(text)
    except ValueError:
        assert text not in {"0", "1", ""}
    else:
        word = text.lower()
        assert value is (None if word[:1] in {"", "n", "<"} else word in {"1", "1.0", "true"})


def test_absolute_paths_stay_as_they_are(study):
    (case,) = read(study, f"case,ct,x\none,{study / 'cts' / 'a.nii.gz'},1\n").cases
    assert case.ct().voxels.shape == SHAPE


def test_a_changed_file_changes_the_fingerprint(study):
    text = "case,ct,masks,x\none,cts/a.nii.gz,organs.nii.gz,{}\n"
    (before,) = read(study, text.format(1)).cases
    (relabelled,) = read(study, text.format(0)).cases
    told = before.fingerprint()
    assert relabelled.fingerprint() == told  # what was prepared of the scan can be kept
    write_volume(study / "organs.nii.gz", np.roll(ORGANS, 1, 2), GRID, overwrite=True)
    assert before.fingerprint() != told


@pytest.mark.parametrize("column", ["organ_table", "lesion_table"])
def test_another_table_of_values_changes_the_fingerprint(study, column):
    (study / "values.csv").write_text("organ,values\nx,1\n")
    masks = column.replace("organ_table", "masks").replace("lesion_table", "lesions")
    text = f"case,ct,{masks},{column},x\none,cts/a.nii.gz,organs.nii.gz,values.csv,1\n"
    (case,) = read(study, text).cases
    told = case.fingerprint()
    (study / "values.csv").write_text("organ,values\nx,12\n")
    assert case.fingerprint() != told


# --- What a table cannot say ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("case,ct,x\n", "it has no rows"),
        ("ct,x\na,1\n", "no column 'case'; it has: ct, x"),
        ("case,x\none,1\n", "no column 'ct'"),
        ("case,ct,x,x\none,cts/a.nii.gz,1,1\n", "column x is there twice"),
        ("case,ct,x\none,cts/a.nii.gz\n", "row 2 has 2 cells and the heading has 3"),
        ("case,ct,x\none,cts/a.nii.gz,1,1\n", "row 2 has 4 cells"),
        ("case,ct,age\none,cts/a.nii.gz,61\n", "no column of it holds labels"),
        ("case,ct,x\n../one,cts/a.nii.gz,1\n", r"row 2 has '\.\./one' in column 'case'"),
        ("case,ct,x\n,cts/a.nii.gz,1\n", "row 2 has '' in column 'case'"),
        ("case,ct,x\none,,1\n", r"row 2 \(case one\) has '' in column 'ct'"),
        ("case,ct,split,x\none,cts/a.nii.gz,later,1\n", "has 'later' in column 'split'"),
        ("case,ct,x\none,cts/a.nii.gz,1\none,cts/b.nii.gz,0\n", "case one is listed twice"),
        (
            "case,patient,split,ct,x\none,p,train,cts/a.nii.gz,1\ntwo,p,test,cts/b.nii.gz,0\n",
            r"one \(train\) and two \(test\) are of one patient",
        ),
        ("case,ct,masks,x\none,cts/a.nii.gz,no.nii,1\n", r"\(case one\) names a file .* 'masks'"),
        ("case,ct,lesion_y,x\none,cts/a.nii.gz,,1\n", "column 'lesion_y' is of no label"),
        ("case,ct,allowed_y,x\none,cts/a.nii.gz,,1\n", "column 'allowed_y' is of no label"),
        ("case,ct,allowed_x,x\none,cts/a.nii.gz,heart;;,1\n", "'heart;;' in column 'allowed_x'"),
        ('case,ct,x\none,"cts/a.nii.gz,1\n', "cannot be understood"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_by_its_row(study, text, reason):
    with pytest.raises(CaseTableError, match=reason):
        read(study, text)


def test_a_label_with_a_slip_in_it_is_not_taken_for_another_column(study):
    rows = "".join(f"c{k},cts/a.nii.gz,{k % 2}\n" for k in range(5))
    with pytest.raises(CaseTableError, match=r"'mass' seems to be a label, but row 7 has '2'"):
        read(study, f"case,ct,mass\n{rows}c5,cts/a.nii.gz,2\n")
    with pytest.raises(CaseTableError, match=r"row 7 \(case c5\) has '2' in column 'mass'"):
        read(study, f"case,ct,mass\n{rows}c5,cts/a.nii.gz,2\n", ["mass"])


@pytest.mark.parametrize("place", ["~nobody-of-this-name/a.nii", "a/" * 3000])
def test_a_path_that_cannot_be_is_not_there(study, place):
    with pytest.raises(CaseTableError, match="is not there"):
        read(study, f"case,ct,x\none,{place},1\n")


def test_missing_scans_are_counted_and_some_are_named(study):
    rows = "".join(f"c{k},cts/no{k}.nii.gz,{k % 2}\n" for k in range(8))
    text = f"case,ct,mass\nhere,cts/a.nii.gz,1\n{rows}"
    with pytest.raises(CaseTableError, match=r"8 of 9 .* c0 \(row 3\), .* c4 \(row 7\) \.\.\."):
        read(study, text)
    cases = read(study, text, only_present=True)
    assert [case.name for case in cases.cases] == ["here"]
    assert any("8 of 9" in note for note in cases.notes)
    with pytest.raises(CaseTableError, match="8 of 8"):
        read(study, f"case,ct,mass\n{rows}", only_present=True)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cases.csv", b"case,ct,x\n\xff\xfe,a,1\n", "no text in UTF-8"),
        ("cases.xlsx", b"PK", "no table of cases by its name"),
        ("cases.parquet", b"PAR0 and no more", "no Parquet file"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CaseTableError, match=reason):
        read_case_table(tmp_path / name)


@pytest.mark.parametrize("name", ["no.csv", "no.parquet"])
def test_a_table_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(CaseTableError, match="no such file"):
        read_case_table(tmp_path / name)


# --- What headers tell before anything slow begins -----------------------------------------


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda folder: write_volume(
                folder / "organs.nii.gz",
                ORGANS,
                Grid(SHAPE, translation((0, 500, 0)) @ AFFINE),
                overwrite=True,
            ),
            r"one \(row 2\): organs\.nii\.gz in column 'masks': it lies wholly outside the CT",
        ),
        (
            lambda folder: write_volume(
                folder / "organs.nii.gz", ORGANS[:, :, :5], Grid((6, 8, 5), AFFINE), overwrite=True
            ),
            "short of its left end",
        ),
        (
            lambda folder: (folder / "organs.nii.gz").write_bytes(b"\x1f\x8b and no more"),
            r"one \(row 2\): organs\.nii\.gz",
        ),
        (
            lambda folder: (folder / "cts" / "a.nii.gz").write_bytes(b"nothing"),
            r"one \(row 2\): a\.nii\.gz",
        ),
        (
            lambda folder: (folder / "values.csv").write_text("organ;values\n"),
            r"one \(row 2\): it has no columns organ and values",
        ),
    ],
)
def test_masks_that_do_not_fit_are_found_from_headers(study, spoil, reason):
    text = "case,ct,masks,organ_table,x\none,cts/a.nii.gz,organs.nii.gz,values.csv,1\n"
    cases = read(study, text)
    check_cases(cases)
    spoil(study)
    with pytest.raises(CaseTableError, match=reason):
        check_cases(cases)


def test_an_organ_that_a_label_needs_must_be_in_the_masks(study):
    text = "case,ct,masks,organ_table,x,y\none,cts/a.nii.gz,plain.nii.gz,values.csv,1,0\n"
    cases = read(study, text)
    check_cases(cases, need_organs=True, allowed={"x": ("lungs",), "y": ("liver",)})
    with pytest.raises(CaseTableError, match=r"one \(row 2\): its masks have no liver; they tell"):
        check_cases(cases, need_organs=True, allowed={"x": ("liver",)})
    with pytest.raises(CaseTableError, match="one: no organ is allowed for label 'x'"):
        check_cases(cases, need_organs=True)
    check_cases(cases)


def test_scans_and_masks_that_need_a_repair_are_found_from_headers(study):
    np.savez(study / "bare.npz", ct=HU)
    text = "case,ct,x\none,bare.npz,1\n"
    with pytest.raises(CaseTableError, match=r"one \(row 2\): .* allow the repair assume-place"):
        check_cases(read(study, text))
    agreed = read(study, text, allow=["assume-place"])
    check_cases(agreed)
    assert agreed.cases[0].ct().spacing_mm == (1, 1, 1)
    np.savez(study / "mask.npz", labels=ORGANS)
    masked = read(study, "case,ct,masks,x\none,cts/a.nii.gz,mask.npz,1\n")
    with pytest.raises(CaseTableError, match=r"mask\.npz in column 'masks' cannot be read"):
        check_cases(masked)


def test_a_mask_in_the_place_of_a_ct_is_refused(study):
    cases = read(study, "case,ct,x\none,organs.nii.gz,1\n")
    with pytest.raises(CaseTableError, match=r"one: .*holds labels"):
        cases.cases[0].ct()


def test_masks_elsewhere_are_refused_when_they_are_read_too(study):
    moved = Grid(SHAPE, translation((0, 500, 0)) @ AFFINE)
    write_volume(study / "far.nii.gz", MASS, moved)
    cases = read(study, "case,ct,masks,lesion_x,x\none,cts/a.nii.gz,organs.nii.gz,far.nii.gz,1\n")
    write_volume(study / "organs.nii.gz", ORGANS, moved, segments=NAMED, overwrite=True)
    with pytest.raises(OrganError, match="outside the CT"):
        cases.cases[0].organs()
    with pytest.raises(OrganError, match="outside the CT"):
        cases.cases[0].lesions()


def test_a_lesion_mask_may_be_empty_but_not_a_ct(study):
    write_volume(study / "none.nii.gz", np.zeros_like(MASS), GRID)
    text = "case,ct,lesion_x,x\none,cts/a.nii.gz,{},0\n"
    (case,) = read(study, text.format("none.nii.gz")).cases
    assert not case.lesions()["x"].any()
    (case,) = read(study, text.format("cts/b.nii.gz")).cases
    with pytest.raises(OrganError, match="holds no labels"):
        case.lesions()


def test_a_folder_without_scans_is_found_from_headers(study):
    (study / "empty").mkdir()
    cases = read(study, "case,ct,x\none,empty,1\n")
    with pytest.raises(CaseTableError, match="no DICOM file"):
        check_cases(cases)
    with pytest.raises(VolumeError):
        cases.cases[0].ct()
    masked = read(study, "case,ct,masks,x\none,cts/a.nii.gz,empty,1\n")
    with pytest.raises(CaseTableError, match="folder empty in column 'masks' is empty"):
        check_cases(masked)


def test_a_real_series_is_read_by_a_table_and_nothing_else_names_it(shared_dir, tmp_path):
    series = shared_dir / "data" / "totalseg" / "dicom_j2k_20slices"
    masks = shared_dir / "data" / "totalseg" / "dicom_j2k_20slices_totalseg_labels.nii.gz"
    if not masks.exists():
        masks = next(Path(series).parent.rglob("*j2k*labels*.nii.gz"))
    text = f"case,ct,masks,organ_table,x\none,{series},{masks},totalsegmentator,1\n"
    cases = read(tmp_path, text)
    check_cases(cases)
    ct = cases.cases[0].ct()
    assert (ct.name, ct.voxels.shape[0]) == ("one", 20)
    organs = cases.cases[0].organs(ct)
    assert organs.grid.same_place_as(ct.grid)
    assert organs.labels.any()


def test_the_example_in_the_documentation_is_read(study):
    text = (Path(__file__).parents[1] / "docs" / "cases.md").read_text(encoding="utf-8")
    example = text.partition("```csv\n")[2].partition("```")[0]
    for folder in ("scans", "masks", "masks/002", "lesions"):
        (study / folder).mkdir()
    for name in ("001", "004"):
        write_volume(study / "scans" / f"{name}.nii.gz", HU, GRID)
        write_volume(study / "masks" / f"{name}.nii.gz", 9 + ORGANS, GRID)
    write_volume(study / "lesions" / "004_mass.nii.gz", MASS, GRID)
    (study / "scans" / "002").mkdir()
    (study / "scans" / "003.npz").touch()
    (study / "organs.csv").write_text("organ,values\nlungs,10;12\n")
    cases = read(study, example)
    assert cases.labels == ("mass", "pleural_effusion")
    assert [case.split for case in cases.cases] == ["train", "train", "valid", "test"]
    assert cases.cases[1].labels == {"mass": False}
    np.testing.assert_array_equal(cases.cases[3].lesions()["mass"], MASS == 1)
    np.testing.assert_array_equal(cases.cases[3].organs().mask(["lungs"]), ORGANS != 2)


# --- What would leak from one split into another -------------------------------------------


@pytest.mark.parametrize("other", ["P1", "p1 ", "\uff501", "p1\u00a0"])
def test_a_patient_in_two_splits_under_two_spellings_is_refused(study, other):
    rows = f"one,p1,train,cts/a.nii.gz,1\ntwo,{other},test,cts/b.nii.gz,0\n"
    with pytest.raises(CaseTableError, match=r"one \(train\) and two \(test\) are of one patient"):
        read(study, f"case,patient,split,ct,x\n{rows}")


def test_patients_are_drawn_by_person_and_not_by_spelling(study):
    rows = "".join(f"c{k},{'pP'[k % 2]}{k // 2},cts/{k}.nii.gz,{k % 2}\n" for k in range(12))
    for k in range(12):
        shutil.copy(study / "cts" / "a.nii.gz", study / "cts" / f"{k}.nii.gz")
    cases = split_by_patient(read(study, f"case,patient,ct,x\n{rows}"), 0.5, 0.25, 0.25).cases
    assert len({case.split for case in cases}) == 3
    assert all(a.split == b.split for a, b in zip(cases[::2], cases[1::2], strict=True))


def test_one_scan_of_two_patients_is_refused(study):
    text = "case,patient,ct,x\none,p1,cts/a.nii.gz,1\ntwo,{},cts/../cts/a.nii.gz,0\n"
    with pytest.raises(CaseTableError, match="cases one and two have the same CT"):
        read(study, text.format("p2"))
    assert len(read(study, text.format("p1")).cases) == 2
