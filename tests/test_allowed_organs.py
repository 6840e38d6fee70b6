"""Which organs a label may lie in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_hirescam.errors import OrganError
from napari_hirescam.models.label_lists import read_label_list
from napari_hirescam.organs import allowed_organs, read_allowed, write_allowed


def test_the_80_labels_of_the_paper_have_organs_by_their_prefix() -> None:
    allowed = allowed_organs(read_label_list("radchest-80"))
    assert len(allowed) == 80
    counts = {organs: list(allowed.values()).count(organs) for organs in set(allowed.values())}
    assert counts == {("great_vessel",): 7, ("mediastinum",): 6, ("heart",): 16, ("lungs",): 51}
    assert allowed["heart_heart_failure"] == ("heart",)
    assert allowed["lung_lung_resection"] == ("lungs",)


def test_a_side_in_the_prefix_allows_that_lung_only() -> None:
    assert allowed_organs(["left_lung_nodule", "right_lung_mass"]) == {
        "left_lung_nodule": ("left_lung",),
        "right_lung_mass": ("right_lung",),
    }


def test_the_first_table_that_knows_a_label_counts() -> None:
    own, of_model = {"lung_mass": ("left_lung",)}, {"lung_mass": ("lungs",), "cyst": ("Liver",)}
    assert allowed_organs(["lung_mass", "cyst"], own, of_model) == {
        "lung_mass": ("left_lung",),
        "cyst": ("liver",),
    }


def test_labels_without_an_organ_are_all_named() -> None:
    with pytest.raises(OrganError, match=r"cyst, fracture.*label,organs"):
        allowed_organs(["cyst", "lung_mass", "fracture"])
    assert allowed_organs(["cyst", "lung_mass"], everyone=False) == {"lung_mass": ("lungs",)}


def test_no_organs_in_a_table_leave_the_word_to_the_next() -> None:
    assert allowed_organs(["mass"], {"mass": ()}, {"mass": ("lungs",)}) == {"mass": ("lungs",)}


NAMES = st.text("abcdefg_,;\" é'", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(
    st.dictionaries(NAMES, st.lists(st.sampled_from(["lungs", "heart"]), min_size=1, unique=True))
)
def test_what_is_written_is_read_again(tmp_path_factory, table) -> None:
    file = tmp_path_factory.mktemp("allowed") / "allowed.csv"
    write_allowed(file, {label: tuple(organs) for label, organs in table.items()})
    assert read_allowed(file) == {label: tuple(organs) for label, organs in table.items()}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,organs\nmass,lungs\n", "no columns label and organs"),
        ("label,organs\nmass,\n", "line 2 needs a label and its organs"),
        ("label,organs\n,lungs\n", "line 2 needs a label and its organs"),
        ("label,organs\nmass,lungs\nmass,heart\n", "line 3: label mass is there twice"),
        ("label,organs\nmass,lungs\ncyst,lungs\n", "there are no labels cyst"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, reason) -> None:
    file = tmp_path / "allowed.csv"
    file.write_text(text)
    with pytest.raises(OrganError, match=reason):
        read_allowed(file, ["mass"])


def test_without_a_list_of_labels_any_label_is_taken(tmp_path) -> None:
    file = tmp_path / "allowed.csv"
    file.write_text("\ufefflabel,organs\npleural effusion,Left lung; right_lung;left_lung\n")
    assert read_allowed(file) == {"pleural effusion": ("left_lung", "right_lung")}


def test_a_file_that_cannot_be_read_says_why(tmp_path) -> None:
    with pytest.raises(OrganError, match="no such file"):
        read_allowed(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OrganError, match="no text in UTF-8"):
        read_allowed(tmp_path / "bytes.csv")


def test_an_existing_file_is_replaced_only_when_told(tmp_path) -> None:
    file = write_allowed(tmp_path / "allowed.csv", {"mass": ("lungs",)})
    with pytest.raises(OrganError, match="there is a file"):
        write_allowed(file, {"mass": ("heart",)})
    assert read_allowed(file) == {"mass": ("lungs",)}
    write_allowed(file, {"mass": ("heart",)}, overwrite=True)
    assert read_allowed(file) == {"mass": ("heart",)}


def test_a_place_that_cannot_be_written_says_so(tmp_path) -> None:
    with pytest.raises(OrganError, match="cannot be written"):
        write_allowed(tmp_path / "none" / "allowed.csv", {"mass": ("lungs",)})
