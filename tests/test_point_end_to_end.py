"""One point of known place, from a file through reader, preprocessing and map to a saved file."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import ConvThenLinear, SumOfVoxels, classifier_of, plain_input, random_ct
from torch import nn

from napari_hirescam.attention import METHODS, explain
from napari_hirescam.attention.export import map_file_name, save_maps
from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io import read_volume

AIR = -1000
#: Every way a scanner's axes can lie: 6 orders times 8 directions, as nibabel letters.
AXIS_CODES = [
    codes
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for codes in itertools.product(*axes)
]


def write_ct(
    file: Path,
    codes: tuple[str, str, str],
    spacing: tuple[float, float, float],
    offset: tuple[float, float, float],
    mark: tuple[int, int, int],
    shape: tuple[int, int, int] = (14, 16, 18),
) -> np.ndarray:
    """Write a CT of air with one bright voxel by nibabel alone; returns that voxel's RAS mm."""
    # `inv_ornt_aff` maps indices of the reordered array to those of an RAS array of this spacing.
    to_ras = nib.orientations.axcodes2ornt(codes)
    ras_shape = tuple(shape[int(np.flatnonzero(to_ras[:, 0] == axis)[0])] for axis in range(3))
    ras_affine = np.diag([*spacing, 1.0])
    ras_affine[:3, 3] = offset
    from_ras = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), to_ras)
    affine = ras_affine @ nib.orientations.inv_ornt_aff(from_ras, ras_shape)
    voxels = np.full(shape, AIR, np.int16)
    voxels[mark] = 1000
    nib.save(nib.Nifti1Image(voxels, affine), file)
    assert nib.aff2axcodes(affine) == codes
    return affine[:3, :3] @ mark + affine[:3, 3]


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    codes=st.sampled_from(AXIS_CODES),
    spacing=st.tuples(*[st.floats(0.5, 5.0)] * 3),
    offset=st.tuples(*[st.floats(-300, 300)] * 3),
    mark=st.tuples(st.integers(3, 10), st.integers(3, 12), st.integers(3, 14)),
    orientation=st.sampled_from(["IPL", "SAR", "LPI", "PIR"]),
    shrink=st.sampled_from([None, 0.5, 0.7, 1.0]),
)
def test_a_point_lands_within_half_a_voxel(
    tmp_path, codes, spacing, offset, mark, orientation, shrink
) -> None:
    """Axis-permuted, flipped, anisotropic; with and without resampling to the model's spacing."""
    file = tmp_path / "ct.nii.gz"
    right, anterior, superior = write_ct(file, codes, spacing, offset, mark)
    ct = read_volume(file)
    place = np.array([-superior, -anterior, -right])
    assert ct.voxels[tuple(np.rint(ct.grid.to_index(place)).astype(int))] == 1000
    # The network adds voxels up above air: its map is the CT itself, on the model's grid.
    model_spacing = (
        None if shrink is None else tuple(s * shrink for s in _spacing_in(ct, orientation))
    )
    shape = tuple(64 if shrink else n for n in (18, 18, 18))
    spec = plain_input(
        shape,
        orientation=orientation,
        spacing_mm=model_spacing,
        window_hu=(AIR, 1000),
        scale_to=(0, 1),
        padding=AIR,
    )
    result = explain(ct, classifier_of(SumOfVoxels(), "see", spec, 1))
    attention = result.map("label 0")
    peak = np.unravel_index(attention.values.argmax(), attention.values.shape)
    assert (
        np.abs(attention.grid.to_world(peak) - place) <= 0.5 * np.array(ct.spacing_mm) + 1e-3
    ).all()
    # And back onto the file's own grid: the same voxel of the same file.
    save_maps(result, ct, ["label 0"], ["hirescam"], tmp_path / "maps", overwrite=True)
    saved = nib.load(tmp_path / "maps" / map_file_name(ct.name, "label 0", "hirescam"))
    assert np.array_equal(saved.affine, nib.load(file).affine)
    values = np.asarray(saved.dataobj)
    assert values.shape == (14, 16, 18)
    assert np.unravel_index(values.argmax(), values.shape) == mark


def _spacing_in(ct, orientation: str) -> list[float]:
    axis = {"I": 0, "S": 0, "P": 1, "A": 1, "L": 2, "R": 2}
    return [ct.spacing_mm[axis[letter]] for letter in orientation]


@pytest.fixture
def explained():
    ct = random_ct((4, 5, 6), (2.0, 1.0, 1.5))
    classifier = classifier_of(SumOfVoxels(), "see", plain_input((4, 5, 6)), 1)
    return ct, explain(ct, classifier)


def test_saved_maps_are_raw_and_signed_and_say_where_they_come_from(explained, tmp_path) -> None:
    ct, result = explained
    files = save_maps(result, ct, ["label 0"], ["hirescam", "gradcam"], tmp_path / "out")
    assert [f.name for f in files] == [
        "noise_label_0_hirescam.nii.gz",
        "noise_label_0_gradcam.nii.gz",
        "scores.json",
    ]
    saved = nib.load(files[0])
    assert np.asarray(saved.dataobj).sum() == pytest.approx(ct.voxels.sum(), rel=1e-5)
    provenance = json.loads(saved.header.extensions[0].get_content())
    assert provenance["label"] == "label 0"
    assert provenance["residual"] == pytest.approx(result.residual("label 0"))
    scores = json.loads(files[-1].read_text())
    assert scores["guarantee"]["state"] == "identical by construction"
    assert scores["scores"][0]["verified"] is True


def test_saving_replaces_nothing_unasked(explained, tmp_path) -> None:
    ct, result = explained
    (tmp_path / "scores.json").write_text("mine")
    with pytest.raises(VolumeError, match=r"already holds scores\.json"):
        save_maps(result, ct, ["label 0"], ["hirescam"], tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["scores.json"]
    assert (tmp_path / "scores.json").read_text() == "mine"


def test_labels_that_would_share_a_file_name_get_their_own(tmp_path) -> None:
    ct = random_ct((2, 3, 4))
    names = ["a/b", "a b", "Mass", "mass", "???", "x" * 300, "x" * 301]
    network = nn.Sequential(nn.Conv3d(1, 1, 1), nn.Flatten(), nn.Linear(24, len(names)))
    classifier = classifier_of(network, "0", plain_input((2, 3, 4)), len(names), labels=names)
    result = explain(ct, classifier)
    files = save_maps(result, ct, [*names, "mass"], ["hirescam", "hirescam"], tmp_path / "out")
    written = [f.name for f in files]
    assert len({name.casefold() for name in written}) == len(names) + 1
    assert {p.name for p in (tmp_path / "out").iterdir()} == set(written)
    for name, file in zip(names, files, strict=False):
        content = nib.load(file).header.extensions[0].get_content()
        assert json.loads(content)["label"] == name


def test_a_map_without_the_guarantee_says_so_in_plain_json(tmp_path) -> None:
    """No NaN, and Grad-CAM does not carry HiResCAM's guarantee."""
    torch.manual_seed(0)
    ct = random_ct((6, 8, 10))
    for layer, method, words in (
        ("conv1", "hirescam", "local approximation"),
        ("pool", "gradcam", "not for this method"),
    ):
        classifier = classifier_of(ConvThenLinear(), layer, plain_input((6, 8, 10)), 3)
        result = explain(ct, classifier)
        file, scores = save_maps(result, ct, ["label 0"], [method], tmp_path / layer)
        content = nib.load(file).header.extensions[0].get_content()
        said = json.loads(content, parse_constant=pytest.fail)
        assert said["guarantee"] == words
        assert "residual" not in said
        assert not result.verified("label 0", method)
        json.loads(scores.read_text(), parse_constant=pytest.fail)


def test_a_cancelled_save_leaves_no_half_file(explained, tmp_path) -> None:
    ct, result = explained
    with pytest.raises(Cancelled):
        save_maps(result, ct, ["label 0"], ["hirescam"], tmp_path / "out", should_stop=lambda: True)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(explained, tmp_path) -> None:
    ct, result = explained
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeError, match="cannot be written"):
        save_maps(result, ct, ["label 0"], ["hirescam"], tmp_path / "file" / "out")


def test_positive_view_is_rectified_after_the_sum_and_scaled_by_the_whole_map(explained) -> None:
    _, result = explained
    attention = result.map("label 0")
    view = attention.positive()
    assert view.max() == 1.0
    assert (view[attention.values <= 0] == 0).all()
    assert np.allclose(view * attention.maximum, np.maximum(attention.values, 0))


def test_files_of_methods_with_similar_names_are_told_apart_by_name() -> None:
    names = [map_file_name("ct", "mass", method) for method in METHODS]
    assert len(set(names)) == len(METHODS)
    assert "ct_mass_gradcamplusplus.nii.gz" in names
