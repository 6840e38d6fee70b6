"""Names of labels: from the mask's own header or from a file beside it, and never in the way."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Extension
from nrrd_factory import CT, STEPS, save, vectors

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ChoiceNeededError
from napari_hirescam.io.segment_names import from_caret_xml
from napari_hirescam.source import Segment
from napari_hirescam.volume import Grid, Quantity

MASK = np.zeros((6, 7, 8), np.uint8)
MASK[1:3, 2:5, 2:6] = 1
MASK[4, 5, 6] = 2


def names_of(volume) -> dict[int, str]:
    return {segment.value: segment.name for segment in volume.segments}


def nifti(path, *extensions, voxels=MASK):
    image = nib.Nifti1Image(voxels, np.diag([-0.7, -0.7, 2.5, 1]))
    image.header.set_intent("none")
    for code, content in extensions:
        image.header.extensions.append(Nifti1Extension(code, content))
    image.to_filename(path)
    return path


def caret(labels: str, *, before='<?xml version="1.0" encoding="UTF-8"?>') -> bytes:
    return (
        f'{before}<CaretExtension><Date><![CDATA[2013-07-14]]></Date><VolumeInformation Index="0">'
        f"<LabelTable>{labels}</LabelTable></VolumeInformation></CaretExtension>"
    ).encode()


SPLEEN = '<Label Key="1" Red="1.0" Green="0.5" Blue="0" Alpha="1"><![CDATA[spleen]]></Label>'
LIVER = '<Label Key="2" Red="0" Green="0" Blue="1.0" Alpha="1">\n  <![CDATA[liver]]>\n</Label>'


# --- NIfTI extensions ----------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 30])
@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz"])
def test_a_label_table_in_the_header_names_the_labels(tmp_path, code, name):
    volume = io.read_volume(nifti(tmp_path / name, (code, caret(SPLEEN + LIVER))))
    assert names_of(volume) == {1: "spleen", 2: "liver"}
    assert [segment.colour for segment in volume.segments] == [(1.0, 0.5, 0.0), (0.0, 0.0, 1.0)]
    assert volume.source.notes == ()


def test_the_table_is_found_behind_other_extensions(tmp_path):
    path = nifti(tmp_path / "m.nii", (6, b"a comment"), (4, b"<AFNI/>"), (0, caret(SPLEEN)))
    assert names_of(io.read_volume(path)) == {1: "spleen"}


def test_only_masks_have_names(tmp_path):
    ct = io.read_volume(nifti(tmp_path / "ct.nii", (0, caret(SPLEEN)), voxels=CT))
    assert (ct.quantity, ct.segments) == (Quantity.HU, ())


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (caret(SPLEEN)[:-20], "no element found|unclosed"),
        (caret(SPLEEN.replace('Key="1"', 'Key="one"')), "one"),
        (caret(SPLEEN.replace('Key="1"', "")), "invalid literal"),
        (caret(SPLEEN, before='<!DOCTYPE a [<!ENTITY b "c">]>'), "document type"),
        (caret(SPLEEN.replace("spleen", "\x01")), "not well-formed"),
        (caret(SPLEEN * 20_000), "too large"),
        (caret(SPLEEN.replace("<![CDATA[spleen]]>", "&bomb;")), "undefined entity"),
    ],
)
def test_a_table_that_cannot_be_understood_becomes_a_remark(tmp_path, content, why):
    volume = io.read_volume(nifti(tmp_path / "m.nii.gz", (0, content)))
    assert volume.segments == ()
    np.testing.assert_array_equal(volume.voxels[::-1], MASK.T)
    (note,) = volume.source.notes
    assert note.startswith("The names of its labels in its header cannot be understood")
    assert why.split("|")[0] in note or why.split("|")[-1] in note


def test_entities_are_never_expanded():
    bomb = (
        b'<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "ha">'
        b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        b'<CaretExtension><Label Key="1">&b;</Label></CaretExtension>'
    )
    with pytest.raises(ValueError, match="document type"):
        from_caret_xml(bomb)


def test_odd_labels_do_not_spoil_the_others(tmp_path):
    odd = (
        '<Label Key="0" Red="0" Green="0" Blue="0">background</Label>'
        '<Label Key="-3">below</Label><Label Key="99999999999999">beyond</Label>'
        '<Label Key="1" Red="red" Green="2" Blue="nan">first</Label><Label Key="1">again</Label>'
        f'<Label Key="2">{"x" * 500}\n y</Label>'
    )
    volume = io.read_volume(nifti(tmp_path / "m.nii", (0, caret(odd))))
    assert [segment.value for segment in volume.segments] == [1, 2]
    assert (volume.segments[0].name, volume.segments[0].colour) == ("first", None)
    assert len(volume.segments[1].name) == 200


# --- Files beside the mask -----------------------------------------------------------------

SNAP = """################################################
# ITK-SnAP Label Description File
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0    0        1  1  1    "left lung"
    2     0  255    0      0.5  1  1    "right lung"
"""
CTBL = "# Color table file x.ctbl\n# 3 values\n0 Background 0 0 0 0\n1 left_lung 255 0 0 255\n"
TSV = "index\tname\tcolor\n0\tbackground\t#000000\n1\tleft lung\t#ff0000\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.label", SNAP),
        ("m.txt", SNAP),
        ("m.ctbl", CTBL),
        ("m.txt", CTBL),
        ("m.tsv", TSV),
        ("dataset.json", json.dumps({"labels": {"background": 0, "left lung": 1, "all": [1, 2]}})),
        ("dataset.json", json.dumps({"labels": {"0": "background", "1": "left lung"}})),
    ],
)
@pytest.mark.parametrize("mask", ["m.nii.gz", "m.nrrd", "m.mha"])
def test_a_file_beside_the_mask_names_the_labels(tmp_path, name, text, mask):
    from metaimage_factory import save as save_mha

    path = tmp_path / mask
    {"m.nii.gz": nifti, "m.nrrd": save, "m.mha": save_mha}[mask](path, *_if_not_nifti(mask))
    (tmp_path / name).write_text(text)
    volume = io.read_volume(path)
    assert names_of(volume)[1] == "left lung"
    assert 0 not in names_of(volume)
    assert volume.segments[0].colour == (None if name == "dataset.json" else (1.0, 0.0, 0.0))
    assert volume.source.notes == (f"The names of its labels were taken from {name}.",)


def _if_not_nifti(mask):
    return () if mask.endswith(".gz") else (MASK,)


def test_nnunets_labels_lie_below_their_dataset(tmp_path):
    (tmp_path / "labelsTr").mkdir()
    (tmp_path / "dataset.json").write_text('{"labels": {"tumour": 1}}')
    inside = nifti(tmp_path / "labelsTr" / "case_1.nii.gz")
    assert names_of(io.read_volume(inside)) == {1: "tumour"}
    (tmp_path / "other").mkdir()
    elsewhere = nifti(tmp_path / "other" / "case_1.nii.gz")
    assert io.read_volume(elsewhere).segments == ()


def test_the_masks_own_names_come_first(tmp_path):
    (tmp_path / "m.txt").write_text(SNAP)
    volume = io.read_volume(nifti(tmp_path / "m.nii", (0, caret(SPLEEN))))
    assert names_of(volume) == {1: "spleen"}


def test_a_ct_beside_a_table_is_left_alone(tmp_path):
    (tmp_path / "dataset.json").write_text('{"labels": {"tumour": 1}}')
    volume = io.read_volume(save(tmp_path / "ct.nrrd"))
    assert (volume.segments, volume.source.notes) == ((), ())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.label", b"no table"),
        ("m.ctbl", b"\xff\xfe\x00"),
        ("m.tsv", b"a\tb\n1\t2\n"),
        ("m.tsv", b""),
        ("m.tsv", b"index\tname\nx\ty\n"),
        ("m.tsv", b"index\tname\tcolor\n1\ty\t#zzzzzz\n"),
        ("dataset.json", b"{"),
        ("dataset.json", b"[1, 2]"),
        ("dataset.json", b'{"labels": 3}'),
        ("dataset.json", b'{"labels": {"x": "y"}}'),
        ("dataset.json", b"[" * 100_000),
        ("dataset.json", b'{"labels": {"a": 1}}' + b" " * (1 << 20)),
    ],
)
def test_a_file_that_cannot_be_understood_becomes_a_remark(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    volume = io.read_volume(nifti(tmp_path / "m.nii"))
    assert volume.segments == ()
    assert f"in {name} cannot be understood" in volume.source.notes[0]


def test_any_text_may_lie_beside_a_mask(tmp_path):
    (tmp_path / "m.txt").write_text("Notes: it's a nice day.\n1 2 3")
    volume = io.read_volume(nifti(tmp_path / "m.nii"))
    assert (volume.segments, volume.source.notes) == ((), ())


# --- Slicer's segmentations ----------------------------------------------------------------

TAGS = (
    "Segmentation.Status:inprogress|TerminologyEntry:Segmentation category and type - 3D Slicer "
    "General Anatomy list~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~Anatomic codes"
    " - DICOM master list~^^~^^|"
)


def segment(number, name, value=None, layer=None, **more):
    fields = {"ID": f"Segment_{number}", "Name": name, "Color": "0.25 0.5 1", **more}
    fields |= {"LabelValue": value, "Layer": layer}
    return {
        f"Segment{number}_{field}": str(text) for field, text in fields.items() if text is not None
    }


def test_a_slicer_segmentation_brings_names_values_colours_and_codes(tmp_path):
    pairs = segment(0, "Leber (größer)", 1, 0, Tags=TAGS) | segment(1, "spleen", 2, 0)
    volume = io.read_volume(save(tmp_path / "case.seg.nrrd", MASK, "gzip", pairs))
    assert volume.name == "case"
    assert volume.quantity is Quantity.LABELS
    assert names_of(volume) == {1: "Leber (größer)", 2: "spleen"}
    liver = volume.segments[0]
    assert liver.colour == (0.25, 0.5, 1.0)
    assert liver.details == {
        "id": "Segment_0",
        "category": ("SCT", "123037004", "Anatomical Structure"),
        "type": ("SCT", "10200004", "Liver"),
    }
    assert volume.source.notes == ()
    assert io.list_items(tmp_path / "case.seg.nrrd")[0].kind == "labels"


def test_a_segmentation_is_a_mask_whatever_its_numbers(tmp_path):
    mask = MASK.astype(np.int16) * 2000
    volume = io.read_volume(save(tmp_path / "m.nrrd", mask, pairs=segment(0, "a", 2000, 0)))
    assert volume.quantity is Quantity.LABELS
    assert names_of(volume) == {2000: "a"}


@pytest.mark.parametrize(
    "wrong",
    [
        segment(1, "b", "two", 0),
        segment(1, "b", -2, 0),
        segment(1, "b", 0, 0),
        segment(1, "b", 1, 0),
        segment(1, "b", 2, 7),
        segment(1, "b", 2, "x"),
        segment(1, "b", 2**40, 0),
    ],
)
def test_a_segment_that_cannot_be_right_is_left_out_of_the_names(tmp_path, wrong):
    volume = io.read_volume(
        save(tmp_path / "m.seg.nrrd", MASK, pairs=segment(0, "a", 1, 0) | wrong)
    )
    assert names_of(volume) == {1: "a"}
    assert "'b' was left out" in volume.source.notes[0]
    np.testing.assert_array_equal(volume.voxels[::-1], MASK.T)


def layers(tmp_path, first, second, pairs):
    return save(
        tmp_path / "m.seg.nrrd",
        np.stack([first, second]),
        "gzip",
        pairs,
        space_directions=f"none {vectors(STEPS)}",
        kinds="list domain domain domain",
    )


APART = np.zeros_like(MASK)
APART[5, 0, 0] = 1
OVER = np.zeros_like(MASK)
OVER[1:3, 2:4, 2:6] = 1


def test_layers_of_segments_are_offered_and_read_one_by_one(tmp_path):
    pairs = segment(0, "a", 1, 0) | segment(1, "b", 2, 0) | segment(2, "c", 1, 1)
    path = layers(tmp_path, MASK, OVER, pairs)
    with pytest.raises(ChoiceNeededError, match="2 layers of segments") as question:
        io.read_volume(path)
    titles = {item.key: item.title for item in question.value.items}
    assert list(titles) == ["all", "1", "2"]
    assert titles["1"] == "layer 1 of 2: a, b"
    one, two = (io.read_volume(path, series=key) for key in "12")
    assert (names_of(one), names_of(two)) == ({1: "a", 2: "b"}, {1: "c"})
    np.testing.assert_array_equal(one.voxels[::-1], MASK.T)
    np.testing.assert_array_equal(two.voxels[::-1], OVER.T)


def test_layers_that_do_not_overlap_can_be_one_mask(tmp_path):
    distinct = segment(0, "a", 1, 0) | segment(1, "b", 2, 0) | segment(2, "c", 9, 1)
    path = layers(tmp_path, MASK, APART * np.uint8(9), distinct)
    volume = io.read_volume(path, series="all")
    assert names_of(volume) == {1: "a", 2: "b", 9: "c"}
    np.testing.assert_array_equal(volume.voxels[::-1], (MASK + APART * 9).T)

    # The same value in two layers: numbered anew.
    again = segment(0, "a", 1, 0) | segment(1, "b", 2, 0) | segment(2, "c", 1, 1)
    volume = io.read_volume(layers(tmp_path, MASK, APART, again), series="all")
    assert names_of(volume) == {1: "a", 2: "b", 3: "c"}
    np.testing.assert_array_equal(volume.voxels[::-1], (MASK + APART * 3).T)


def test_overlapping_layers_are_never_put_into_one_mask(tmp_path):
    pairs = segment(0, "a", 1, 0) | segment(1, "b", 2, 0) | segment(2, "c", 3, 1)
    path = layers(tmp_path, MASK, OVER * np.uint8(3), pairs)
    with pytest.raises(ChoiceNeededError, match="segments overlap") as question:
        io.read_volume(path, series="all")
    assert [item.key for item in question.value.items] == ["1", "2"]


def test_a_value_of_no_segment_is_not_lost_in_one_mask(tmp_path):
    path = layers(tmp_path, MASK, APART, segment(0, "a", 1, 0) | segment(1, "c", 1, 1))
    with pytest.raises(VolumeError, match="belong to none of its segments"):
        io.read_volume(path, series="all")


def test_old_segmentations_have_one_layer_for_each_segment(tmp_path):
    path = layers(tmp_path, (MASK == 1).astype(np.uint8), OVER, segment(0, "a") | segment(1, "b"))
    assert names_of(io.read_volume(path, series="2")) == {1: "b"}


def test_damage_is_noticed_in_a_layer_that_is_not_asked_for(tmp_path):
    path = layers(tmp_path, MASK, OVER, segment(0, "a", 1, 0) | segment(1, "c", 1, 1))
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # the stored checksum
    path.write_bytes(content)
    with pytest.raises(VolumeError, match="not sound"):
        io.read_volume(path, series="1")


# --- Round trip, and real masks ------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.nii", "m.nii.gz", "m.nrrd"])
def test_names_that_we_write_are_read_again(tmp_path, name):
    segments = (
        Segment(1, "Leber & Milz <rechts>", (1.0, 0.5, 0.0)),
        Segment(2, "]]> größer", None),
    )
    grid = Grid(MASK.shape, np.diag([2.0, 1, 1, 1]))
    path = io.write_volume(tmp_path / name, MASK, grid, segments=segments)
    volume = io.read_volume(path)
    assert names_of(volume) == {1: "Leber & Milz <rechts>", 2: "]]> größer"}
    np.testing.assert_allclose(volume.segments[0].colour, (1.0, 0.5, 0.0), atol=1e-6)


@pytest.mark.parametrize("name", ["m.nii", "m.nrrd"])
def test_what_no_file_can_hold_is_left_out_of_a_name(tmp_path, name):
    # NUL and escape, a line's end, and a byte of a file name that is no letter
    odd = (Segment(1, "a\0b\x1bc\nd"), Segment(2, "caf\udce9"), Segment(3, r"C:\new"))
    grid = Grid(MASK.shape, np.diag([2.0, 1, 1, 1]))
    path = io.write_volume(tmp_path / name, MASK, grid, segments=odd, description="caf\udce9\0")
    assert names_of(io.read_volume(path)) == {1: "a b c d", 2: "caf?", 3: r"C:\new"}


@pytest.mark.parametrize(
    "name", ["example_ct_totalseg_labels", "example_seg", "dicom_j2k_20slices_totalseg_labels"]
)
def test_real_masks_of_totalsegmentator_bring_their_names(shared_dir, name):
    volume = io.read_volume(shared_dir / f"data/totalseg/{name}.nii.gz")
    names = names_of(volume)
    assert len(names) == 117
    assert (names[1], names[5], names[52]) == ("spleen", "liver", "aorta")
    assert all(segment.colour for segment in volume.segments)
    assert set(np.unique(volume.voxels)) - {0} <= set(names)
