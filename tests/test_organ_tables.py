"""Which values are which organ: built in, from the names in a file, from a user's table."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hirescam.errors import OrganError
from napari_hirescam.io import read_volume
from napari_hirescam.organs import OrganMap, read_organ_table
from napari_hirescam.organs.organ_segments import organ_segments, volumes_ml
from napari_hirescam.organs.organ_tables import (
    PARTITION,
    TOTALSEGMENTATOR,
    organ_name,
    table_from_names,
    with_whole_organs,
)


def written(tmp_path, text: str, name: str = "table.csv"):
    file = tmp_path / name
    file.write_text(text)
    return file


def test_partition_has_one_region_for_heart_mediastinum_and_great_vessels() -> None:
    assert PARTITION["heart"] == PARTITION["mediastinum"] == PARTITION["great_vessel"] == (2,)
    assert (PARTITION["right_lung"], PARTITION["left_lung"]) == ((1,), (3,))
    assert PARTITION["lungs"] == (1, 3)


def test_totalsegmentator_makes_lungs_of_lobes() -> None:
    assert TOTALSEGMENTATOR["right_lung"] == (12, 13, 14)
    assert TOTALSEGMENTATOR["left_lung"] == (10, 11)
    assert TOTALSEGMENTATOR["lungs"] == (10, 11, 12, 13, 14)
    assert TOTALSEGMENTATOR["heart"] == (51,)
    assert {52, 62, 63} <= set(TOTALSEGMENTATOR["great_vessel"])


def test_totalsegmentator_does_not_claim_to_draw_the_mediastinum() -> None:
    assert "mediastinum" not in TOTALSEGMENTATOR


def test_totalsegmentators_numbers_are_those_in_its_files(shared_dir) -> None:
    file = shared_dir / "data/totalseg/example_ct_totalseg_labels.nii.gz"
    named = {organ_name(one.name): (one.value,) for one in read_volume(file).segments}
    ours = {name: values for name, values in TOTALSEGMENTATOR.items() if name in named}
    assert len(ours) == 22
    assert ours == {name: named[name] for name in ours}


@pytest.mark.parametrize(
    ("written_as", "organ"),
    [
        ("Right lung", "right_lung"),
        ("lung_right", "right_lung"),
        ("Lung", "lungs"),
        (" Great vessels ", "great_vessel"),
        ("vertebrae_T12", "vertebrae_t12"),
        ("—", ""),
    ],
)
def test_names_are_written_alike(written_as, organ) -> None:
    assert organ_name(written_as) == organ


def test_an_organ_is_whole_only_with_all_its_parts() -> None:
    left = {"lung_upper_lobe_left": (7,), "lung_lower_lobe_left": (4,)}
    assert with_whole_organs(left)["left_lung"] == (4, 7)
    assert "lungs" not in with_whole_organs(left)
    assert "left_lung" not in with_whole_organs({"lung_upper_lobe_left": (7,)})


def test_what_a_table_says_of_an_organ_counts_more_than_its_parts() -> None:
    table = {"right_lung": (1,), "left_lung": (2,), "lungs": (1, 2, 9)}
    assert with_whole_organs(table)["lungs"] == (1, 2, 9)


def test_values_of_one_name_are_one_organ_and_one_value_may_have_several_names() -> None:
    names = [(1, "Lung right"), (4, "right lung"), (2, "heart; mediastinum"), (0, "air")]
    assert table_from_names(names) == {"right_lung": (1, 4), "heart": (2,), "mediastinum": (2,)}


def test_a_csv_table_is_read(tmp_path) -> None:
    file = written(tmp_path, "organ,values\nRight lung,12;13; 14\nheart,51\nspleen,\n")
    assert read_organ_table(file) == {"right_lung": (12, 13, 14), "heart": (51,), "spleen": ()}


def test_a_yaml_table_is_read(tmp_path) -> None:
    file = written(tmp_path, "lungs: [10, 11]\nheart: 51\n", "table.yaml")
    assert read_organ_table(file) == {"lungs": (10, 11), "heart": (51,)}


def test_a_table_in_a_file_has_the_organs_all_of_whose_parts_it_has(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("organ,values\nleft_lung,2\nright_lung,3\n")
    assert read_organ_table(tmp_path / "t.csv")["lungs"] == (2, 3)


def test_built_in_tables_have_names() -> None:
    assert read_organ_table("totalsegmentator") == TOTALSEGMENTATOR
    assert read_organ_table("partition") == PARTITION


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("t.csv", "organ,value\nheart,1\n", "no columns organ and values"),
        ("t.csv", "organ,values\n", "lists no organ"),
        ("t.csv", "organ,values\nheart,1.5\n", "'1.5' is not a whole number above 0"),
        ("t.csv", "organ,values\nheart,0\n", "'0' is not a whole number above 0"),
        ("t.csv", "organ,values\nheart,-3\n", "'-3' is not a whole number"),
        ("t.csv", "organ,values\nlung,1\nLungs,2\n", "lungs is there twice"),
        ("t.csv", "organ,values\n,1\n", "names no organ"),
        ("t.yaml", "heart: true\n", "True is not a whole number"),
        ("t.yaml", "heart: 1\nheart: 2\n", "'heart' is there twice"),
        ("t.yaml", "- heart\n", "lists no organ"),
        ("t.yaml", "heart: !!python/object/apply:os.getcwd []\n", "not plain YAML"),
    ],
)
def test_what_is_no_table_is_refused_with_its_reason(tmp_path, name, text, reason) -> None:
    with pytest.raises(OrganError, match=reason) as caught:
        read_organ_table(written(tmp_path, text, name))
    assert "organ,values" in caught.value.remedy


def test_a_table_that_is_not_there_names_the_built_in_ones(tmp_path) -> None:
    with pytest.raises(OrganError, match=r"no such table.*partition or totalsegmentator"):
        read_organ_table(tmp_path / "none.csv")


def test_names_of_values_lead_back_to_the_same_table() -> None:
    labels = np.arange(4, dtype=np.uint8).reshape(1, 2, 2)
    segments = organ_segments(OrganMap(labels, np.eye(4), PARTITION, "PARTITION"))
    assert [(one.value, one.name) for one in segments] == [
        (1, "right_lung"),
        (2, "heart; mediastinum; great_vessel"),
        (3, "left_lung"),
    ]
    assert table_from_names((one.value, one.name) for one in segments) == PARTITION


def test_volumes_are_in_millilitres_and_shared_values_count_for_each() -> None:
    labels = np.array([[[1, 1, 2, 0, 3]]], dtype=np.uint8)
    affine = np.diag([10.0, 20.0, 5.0, 1.0])  # one millilitre a voxel
    volumes = volumes_ml(OrganMap(labels, affine, PARTITION, "PARTITION"))
    assert volumes["right_lung"] == 2
    assert volumes["lungs"] == 3
    assert volumes["heart"] == volumes["mediastinum"] == 1
