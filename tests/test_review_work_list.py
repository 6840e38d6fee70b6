"""Tables and folders become work lists: what is recognised, what is judged, what is left out."""

from __future__ import annotations

import gzip
import time
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_hirescam.errors import Cancelled, ReviewError
from napari_hirescam.io import write_volume
from napari_hirescam.review.table_columns import recognise
from napari_hirescam.review.work_list import plan_items
from napari_hirescam.source import Segment
from napari_hirescam.volume import Grid


def files(folder: Path, *names: str) -> None:
    """Make files: small masks without names where they are NIfTI, else empty ones."""
    for name in names:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".nii.gz"):
            place.write_bytes(gzip.compress(nifti()))
        else:
            place.write_bytes(nifti() if name.endswith(".nii") else b"")


@cache
def nifti() -> bytes:
    return nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4)).to_bytes()


def table(folder: Path, text: str, name: str = "cohort.csv") -> Path:
    place = folder / name
    lines = [line.strip() for line in text.strip().splitlines()]
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place


def judged(work_list) -> list[tuple[str, str, str]]:
    return [(item.case, item.kind, item.target) for item in work_list.items]


def label_map(path: Path, names: dict[int, str]) -> None:
    voxels = np.zeros((4, 4, 4), np.uint8)
    for value in names:
        voxels[value % 4, 0, 0] = value
    segments = tuple(Segment(value, name) for value, name in names.items())
    write_volume(path, voxels, Grid(voxels.shape, np.eye(4)), segments=segments)


# --- what columns stand for ---------------------------------------------------------------------


def test_the_table_of_training_is_recognised_as_it_is(tmp_path):
    files(tmp_path, "a.nii.gz", "a_m.nii.gz")
    path = table(
        tmp_path,
        """case,patient,split,ct,masks,organ_table,lesion_mass,mass,allowed_mass,note
           c1,p1,train,a.nii.gz,a_m.nii.gz,partition,,1,heart,old scanner""",
    )
    told = recognise(path)
    assert told.columns == {
        "ct": "ct",
        "mask": "masks",
        "organ_table": "organ_table",
        "case": "case",
        "patient": "patient",
        "split": "split",
    }
    assert told.labels == ("mass",)
    assert told.unused == ("note",)
    assert (told.layout, told.n_rows) == ("table", 1)
    assert told.example[0]["note"] == "old scanner"


@pytest.mark.parametrize(
    ("heading", "row", "columns"),
    [
        # MONAI's lists of data, in which "label" is a mask ...
        ("image,label", "x/a.nii.gz,y/a.nii.gz", {"ct": "image", "mask": "label"}),
        # ... tables with a row for each map, in which it is a finding ...
        (
            "scan_id;volume;heatmap;label",
            "s1;a.nii.gz;m.nii.gz;nodule",
            {"case": "scan_id", "ct": "volume", "attention": "heatmap", "label": "label"},
        ),
        # ... and one in which it is a truth.
        ("ID\tCT path\tlabel", "s1\ta.nii.gz\t1", {"case": "ID", "ct": "CT path"}),
        # "scan" is a name or a file, by what stands below it.
        ("scan,mask", "a.nii.gz,m.nii.gz", {"ct": "scan", "mask": "mask"}),
        ("scan,path,seg", "s1,a.nii.gz,m.nii.gz", {"case": "scan", "ct": "path", "mask": "seg"}),
        (
            "case,ct,organ,mask",
            "s1,a.nii.gz,heart,m.nii.gz",
            {"case": "case", "ct": "ct", "organ": "organ", "mask": "mask"},
        ),
    ],
)
def test_columns_are_recognised_by_name_and_content(tmp_path, heading, row, columns):
    assert recognise(table(tmp_path, f"{heading}\n{row}")).columns == columns


def test_columns_of_single_organs_and_of_single_labels(tmp_path):
    path = table(
        tmp_path,
        """case,ct,mask_heart,Lung left seg,map_Nodule,Nodule
           c1,a.nii,h.nii,l.nii,n.nii,1""",
    )
    told = recognise(path)
    assert told.organ_masks == {"heart": "mask_heart", "left_lung": "Lung left seg"}
    assert told.label_maps == {"Nodule": "map_Nodule"}
    assert told.unused == ()


def test_folders_of_dicom_are_seen_to_be_paths_by_looking(tmp_path):
    files(tmp_path, "001/a.dcm")
    assert recognise(table(tmp_path, "case,scan,seg\nc1,001,m.nii")).columns["ct"] == "scan"


def test_the_user_knows_better(tmp_path):
    path = table(tmp_path, "case,ct,image,mask\nc1,a.nii,b.nii,m.nii")
    assert recognise(path).columns["ct"] == "ct"
    told = recognise(path, {"ct": "image", "mask": ""})
    assert told.columns == {"ct": "image", "case": "case"}
    with pytest.raises(ReviewError, match="no column 'scans' for ct"):
        recognise(path, {"ct": "scans"})


def test_what_may_tell_who_the_patient_is_stays_out(tmp_path):
    files(tmp_path, "a.nii", "lungs.nii")
    path = table(
        tmp_path,
        """case,ct,mask,PatientName,birth_date,site,kernel
           c1,a.nii,lungs.nii,Doe^Jane,19400101,/home/doe,B70f""",
    )
    told = recognise(path)
    assert told.unused == ("site", "kernel")
    assert any("PatientName, birth_date" in text for text in told.notes)
    (item,) = plan_items(path).items
    assert item.about == {"kernel": "B70f"}  # and no paths, which say nothing to a reader


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("case,mask\nc1,m.nii", "no column of it holds CTs"),
        ("case,ct,mask\nc1,a.nii", "row 2 has 2 cells and the heading has 3"),
        ("case,ct,ct\nc1,a.nii,b.nii", "column ct is there twice"),
        ("case,ct", "it has no rows"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path, text, reason):
    with pytest.raises(ReviewError, match=reason):
        recognise(table(tmp_path, text))
    with pytest.raises(ReviewError, match="no such file"):
        recognise(tmp_path / "nowhere.csv")


# --- which organs are judged --------------------------------------------------------------------


def test_a_table_of_values_tells_the_organs_and_no_mask_is_opened(tmp_path):
    for name in ("a.nii.gz", "m.nii.gz"):
        (tmp_path / name).touch()  # neither could be read
    path = table(tmp_path, "case,ct,masks,organ_table\nc1,a.nii.gz,m.nii.gz,partition")
    work = plan_items(path)
    # The mediastinum is the heart's region under another name, and the lungs are made of two.
    assert [item.target for item in work.items] == ["right_lung", "left_lung", "heart"]
    assert all(item.mask == tmp_path / "m.nii.gz" for item in work.items)
    assert all(item.organ_table == "partition" for item in work.items)
    assert not any("headers" in text for text in work.notes)


def test_the_names_in_a_masks_header_tell_the_organs(tmp_path):
    files(tmp_path, "a.nii.gz")
    label_map(tmp_path / "m.nii.gz", {1: "Lung right", 2: "aorta; heart", 3: "heart"})
    work = plan_items(table(tmp_path, "case,ct,mask\nc1,a.nii.gz,m.nii.gz"))
    assert [item.target for item in work.items] == ["right_lung", "aorta", "heart"]
    assert any("headers of a mask were read" in text for text in work.notes)


def test_an_organ_that_a_mask_does_not_have_is_said_at_once(tmp_path, monkeypatch):
    files(tmp_path, "a.nii.gz")
    label_map(tmp_path / "m.nii.gz", {1: "heart"})
    label_map(tmp_path / "n.nii.gz", {1: "heart"})
    path = table(tmp_path, "case,ct,mask\nc1,a.nii.gz,m.nii.gz\nc2,a.nii.gz,n.nii.gz")
    work = plan_items(path, organs=["heart", "spleen"])
    assert judged(work) == [("c1", "mask", "heart"), ("c2", "mask", "heart")]
    assert [one.reason for one in work.problems] == [
        "its mask m.nii.gz has no spleen",
        "its mask n.nii.gz has no spleen",
    ]
    # Of very many masks only the first are looked into, and that is said.
    monkeypatch.setattr("napari_hirescam.review.mask_organs.MOST_HEADERS", 1)
    work = plan_items(path, organs=["heart", "spleen"])
    assert judged(work)[1:] == [("c2", "mask", "heart"), ("c2", "mask", "spleen")]
    assert any("Only the first" in text for text in work.notes)


def test_other_formats_are_read_for_their_names(tmp_path):
    files(tmp_path, "a.nii.gz")
    label_map(tmp_path / "m.nrrd", {1: "liver"})
    work = plan_items(table(tmp_path, "case,ct,mask\nc1,a.nii.gz,m.nrrd"))
    assert [item.target for item in work.items] == ["liver"]


def test_a_mask_that_nobody_names_needs_a_name(tmp_path):
    files(tmp_path, "a.nii.gz")
    voxels = np.zeros((3, 3, 3), np.uint8)
    voxels[1, 1, 1] = 1
    write_volume(tmp_path / "m.nii.gz", voxels, Grid(voxels.shape, np.eye(4)))
    path = table(tmp_path, "case,ct,mask\nc1,a.nii.gz,m.nii.gz")
    with pytest.raises(ReviewError, match=r"row 2, case c1: m\.nii\.gz: nothing says which organ"):
        plan_items(path)
    assert judged(plan_items(path, organs=["Lung"])) == [("c1", "mask", "lungs")]


def test_a_mask_that_nobody_names_is_not_judged_under_every_name_that_is_asked_for(tmp_path):
    files(tmp_path, "a.nii.gz")
    voxels = np.zeros((3, 3, 3), np.uint8)
    voxels[1, 1, 1] = 1
    for name in ("m.nii.gz", "n.nrrd", "spleen.nii.gz"):
        write_volume(tmp_path / name, voxels, Grid(voxels.shape, np.eye(4)))
    rows = "c1,a.nii.gz,m.nii.gz\nc2,a.nii.gz,n.nrrd\nc3,a.nii.gz,spleen.nii.gz"
    path = table(tmp_path, f"case,ct,mask\n{rows}")
    work = plan_items(path, organs=["liver", "spleen"])
    # A file's own name says enough.
    assert judged(work) == [("c3", "mask", "spleen")]
    assert [one.reason.split(":")[0] for one in work.problems] == [
        "m.nii.gz",
        "n.nrrd",
        "its mask spleen.nii.gz has no liver",
    ]
    assert "nothing says which of liver, spleen it is of" in work.problems[0].reason
    assert "does not say which of its values (1) is which organ" in work.problems[1].reason
    # One organ that is asked for is what it is of, or what its file's name says.
    work = plan_items(path, organs=["liver"])
    assert [case for case, _, _ in judged(work)] == ["c1", "c2"]


def test_what_a_table_of_organs_lacks_is_not_blamed_on_the_mask(tmp_path):
    files(tmp_path, "a.nii.gz")
    label_map(tmp_path / "m.nii.gz", {1: "spleen"})
    path = table(tmp_path, "case,ct,mask,organ_table\nc1,a.nii.gz,m.nii.gz,partition")
    work = plan_items(path, organs=["heart", "spleen"])
    assert [one.reason for one in work.problems] == ["its table of organs has no spleen"]


def test_a_folder_of_masks_tells_by_its_files(tmp_path):
    files(tmp_path, "a.nii.gz", "segs/heart.nii.gz", "segs/lung_left.nii.gz",
          "segs/lung_right.nii.gz")  # fmt: skip
    path = table(tmp_path, "case,ct,masks,organ_table\nc1,a.nii.gz,segs,totalsegmentator")
    work = plan_items(path)
    assert [item.target for item in work.items] == ["heart", "left_lung", "right_lung"]
    assert {item.organ_table for item in work.items} == {""}
    # A whole that its parts make up may be asked for; what is not there is said.
    work = plan_items(path, organs=["lungs", "liver"])
    assert [item.target for item in work.items] == ["lungs"]
    assert [one.words for one in work.problems] == ["row 2, case c1: its mask segs has no liver"]


def test_a_row_or_a_column_for_each_organ(tmp_path):
    files(tmp_path, "a.nii", "h.nii", "l.nii")
    rows = table(tmp_path, "case,ct,organ,mask\nc1,a.nii,heart,h.nii\nc1,a.nii,Left lung,l.nii")
    columns = table(tmp_path, "case,ct,mask_heart,mask_left_lung\nc1,a.nii,h.nii,l.nii", "b.csv")
    for path in (rows, columns):
        work = plan_items(path)
        assert judged(work) == [("c1", "mask", "heart"), ("c1", "mask", "left_lung")]
        assert [item.mask.name for item in work.items] == ["h.nii", "l.nii"]
        assert judged(plan_items(path, organs=["left_lung"])) == [("c1", "mask", "left_lung")]


# --- which maps are judged ----------------------------------------------------------------------


def test_maps_are_judged_of_labels_that_have_one(tmp_path):
    files(tmp_path, "a.nii", "n.nii")
    path = table(tmp_path, "case,ct,map_nodule,nodule,mass\nc1,a.nii,n.nii,0,1")
    (item,) = plan_items(path).items
    assert (item.kind, item.target, item.attention) == ("attention", "nodule", tmp_path / "n.nii")
    assert item.mask is None
    # With a model, a map can be made of whatever is present.
    work = plan_items(path, model=tmp_path)
    assert judged(work) == [("c1", "attention", "nodule"), ("c1", "attention", "mass")]
    assert work.items[1].model == tmp_path
    assert judged(plan_items(path, model=tmp_path, labels=["mass"])) == [
        ("c1", "attention", "mass")
    ]
    with pytest.raises(ReviewError, match="neither a map of mass nor a model"):
        plan_items(path, labels=["mass"])
    with pytest.raises(ReviewError, match="nothing in it can be judged"):
        plan_items(path, labels=[])


def test_a_row_for_each_map(tmp_path):
    files(tmp_path, "a.nii", "n.nii", "m.nii")
    path = table(tmp_path, "case,ct,label,map\nc1,a.nii,nodule,n.nii\nc1,a.nii,mass,m.nii")
    work = plan_items(path)
    assert [(item.target, item.attention.name) for item in work.items] == [
        ("nodule", "n.nii"),
        ("mass", "m.nii"),
    ]
    assert not plan_items(path, labels=["mass"]).problems


def test_a_map_of_no_label_is_left_out(tmp_path):
    files(tmp_path, "a.nii", "n.nii")
    with pytest.raises(ReviewError, match=r"nothing says of which label its map n\.nii is"):
        plan_items(table(tmp_path, "case,ct,map\nc1,a.nii,n.nii"))


# --- what is wrong with a row -------------------------------------------------------------------


def test_bad_rows_are_named_and_the_rest_goes_on(tmp_path):
    files(tmp_path, "a.nii", "b.nii", "heart.nii")
    path = table(
        tmp_path,
        """case,ct,mask
           c1,a.nii,heart.nii
           c1,a.nii,heart.nii
           c1,b.nii,heart.nii
           c2,gone.nii,heart.nii
           c3,b.nii,gone.nii
           ,b.nii,heart.nii
           c4,,heart.nii
           c5,b.nii,
           c6,b.nii,heart.nii""",
    )
    work = plan_items(path)
    assert judged(work) == [("c1", "mask", "heart"), ("c6", "mask", "heart")]
    assert [item.number for item in work.items] == [1, 2]
    assert [(one.row, one.case, one.reason) for one in work.problems] == [
        (3, "c1", "heart of this case is there already in row 2"),
        (4, "c1", "a case of this name with another CT is in row 2"),
        (5, "c2", "its CT gone.nii is not there"),
        (6, "c3", "its mask gone.nii is not there"),
        (7, "", "column 'case' is empty"),
        (8, "c4", "column 'ct' is empty"),
        (9, "c5", "it has neither a mask nor a map"),
    ]


def test_a_mask_that_cannot_be_read_is_left_out_and_no_folder_is_told(tmp_path):
    files(tmp_path, "a.nii", "heart.nii")
    (tmp_path / "broken.nii").write_bytes(b"no mask")
    path = table(tmp_path, "case,ct,mask\nc1,a.nii,broken.nii\nc2,a.nii,heart.nii")
    work = plan_items(path)
    assert judged(work) == [("c2", "mask", "heart")]
    (problem,) = work.problems
    assert problem.words.startswith("row 2, case c1: broken.nii: ")
    assert str(tmp_path) not in problem.words


def test_one_ct_under_two_names_is_said(tmp_path):
    files(tmp_path, "a.nii", "heart.nii")
    work = plan_items(table(tmp_path, "case,ct,mask\nc1,a.nii,heart.nii\nc2,a.nii,heart.nii"))
    assert any("c1 and c2 have the same CT" in text for text in work.notes)
    rows = "".join(f"c{k},a.nii,heart.nii\n" for k in range(10, 50))
    work = plan_items(table(tmp_path, f"case,ct,mask\n{rows}"))
    assert any("c11 and c12 and 37 others have the same CT" in text for text in work.notes)


def test_cases_without_names_are_called_after_their_cts(tmp_path):
    files(tmp_path, "scans/s7.nii.gz", "heart.nii")
    (item,) = plan_items(table(tmp_path, "image,mask\nscans/s7.nii.gz,heart.nii")).items
    assert (item.case, item.patient, item.split) == ("s7", "s7", "")


def test_a_table_of_organs_that_is_not_there_is_refused_before_the_rows(tmp_path):
    files(tmp_path, "a.nii", "m.nii")
    path = table(tmp_path, "case,ct,mask\nc1,a.nii,m.nii")
    with pytest.raises(ReviewError, match="no such table of organs"):
        plan_items(path, organ_table="values.csv")


# --- folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "ct", "masks"),
    [
        (["c1.nii.gz", "c1_seg.nii.gz"], "c1.nii.gz", {"lungs": "c1_seg.nii.gz"}),
        (["c1.nrrd", "c1-masks.nii"], "c1.nrrd", {"lungs": "c1-masks.nii"}),
        (["c1.nii", "c1_totalseg_labels.nii"], "c1.nii", {"lungs": "c1_totalseg_labels.nii"}),
        (["c1.nii", "c1_lungs.nii"], "c1.nii", {"lungs": "c1_lungs.nii"}),
        (["c1.nii", "c1_mask_lungs.nii"], "c1.nii", {"lungs": "c1_mask_lungs.nii"}),
        (["c1/ct.nii.gz", "c1/mask.nii.gz"], "c1/ct.nii.gz", {"lungs": "c1/mask.nii.gz"}),
        (["c1/image.nii", "c1/lungs_mask.nii"], "c1/image.nii", {"lungs": "c1/lungs_mask.nii"}),
        (["c1/dicom/1.dcm", "c1/seg.nrrd"], "c1/dicom", {"lungs": "c1/seg.nrrd"}),
        (["c1/1.dcm", "c1/2.dcm", "c1_seg.nii"], "c1", {"lungs": "c1_seg.nii"}),
        (
            ["c1/ct.nii.gz", "c1/segmentations/lung_left.nii.gz",
             "c1/segmentations/lung_right.nii.gz"],
            "c1/ct.nii.gz",
            {"lungs": "c1/segmentations"},
        ),
        (
            ["imagesTr/c1_0000.nii.gz", "labelsTr/c1.nii.gz"],
            "imagesTr/c1_0000.nii.gz",
            {"lungs": "labelsTr/c1.nii.gz"},
        ),
        (["s/a/c1.nii", "s/a/c1_seg.nii"], "s/a/c1.nii", {"lungs": "s/a/c1_seg.nii"}),
    ],
)  # fmt: skip
def test_cts_and_masks_of_a_folder_are_paired(tmp_path, names, ct, masks):
    files(tmp_path, *names)
    assert recognise(tmp_path).n_rows == 1
    work = plan_items(tmp_path, organs=["lungs"])
    (item,) = work.items
    assert (item.case, item.ct) == ("c1", tmp_path / ct)
    assert {item.target: item.mask.relative_to(tmp_path).as_posix()} == masks
    assert work.problems == ()


def test_a_case_whose_name_begins_like_anothers_gets_its_own_mask(tmp_path):
    files(tmp_path, "c1.nii", "c1_seg.nii", "c1_b.nii", "c1_b_seg.nii")
    work = plan_items(tmp_path, organs=["heart"])
    assert [(item.case, item.mask.name) for item in work.items] == [
        ("c1", "c1_seg.nii"),
        ("c1_b", "c1_b_seg.nii"),
    ]


def test_what_lies_alone_in_a_folder_is_said(tmp_path):
    files(tmp_path, "c1.nii", "c1_seg.nii", "c2.nii")
    work = plan_items(tmp_path, organs=["heart"])
    assert judged(work) == [("c1", "mask", "heart")]
    assert [one.words for one in work.problems] == ["case c2: there is no mask beside c2.nii"]
    assert any("case c2" in text for text in recognise(tmp_path).notes)


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(ReviewError, match="it holds no CT with a mask"):
        recognise(tmp_path)
    files(tmp_path, "c1.nii")
    with pytest.raises(ReviewError, match=r"there is no mask beside c1\.nii"):
        plan_items(tmp_path)


# --- many ---------------------------------------------------------------------------------------


def test_a_quarter_of_the_largest_public_cohort_takes_less_than_seconds(tmp_path):
    files(tmp_path, "a.nii.gz", "m.nii.gz")
    n = 36_316 // 4
    rows = "\n".join(f"trn{k:05},a.nii.gz,m.nii.gz,partition,{k % 2}" for k in range(n))
    path = table(tmp_path, f"case,ct,masks,organ_table,nodule\n{rows}")
    start = time.process_time()
    work = plan_items(path)
    assert len(work.items) == 3 * n
    # Generous: it is 0.6 s.
    assert time.process_time() - start < 5


def test_it_can_be_stopped(tmp_path):
    files(tmp_path, "a.nii", "heart.nii")
    path = table(tmp_path, "case,ct,mask\nc1,a.nii,heart.nii")
    with pytest.raises(Cancelled):
        plan_items(path, should_stop=lambda: True)
