"""Every layout and every way to fit a CT: what the network gets, and where that lies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import plain_input, random_ct

from napari_hirescam.errors import Cancelled, InputError
from napari_hirescam.models import InputSpec
from napari_hirescam.models.placing import grid_at_spacing, resample_to_spacing, resize
from napari_hirescam.models.preprocess import ModelInput, prepare, prepare_ct
from napari_hirescam.models.window import model_grid, window_extent
from napari_hirescam.volume import Grid, Volume

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("IS", "PA", "LR"))
    for letters in itertools.product(*axes)
]
#: Every allowed pair of layout and fit, with a shape that crops some axes and pads others.
WAYS = {
    ("volume", "centre"): (20, 15, 30),
    ("volume", "window"): (9, 12, 7),
    ("volume", "resize"): (13, 31, 11),
    ("axial_triples", "centre"): (None, 16, 30),
    ("axial_triples", "window"): (6, 12, 7),
    ("axial_triples", "resize"): (12, 9, 40),
    ("slice", "centre"): (1, 15, 30),
    ("slice", "window"): (1, 12, 7),
    ("slice", "resize"): (1, 31, 11),
    ("slices", "centre"): (None, 15, 30),
    ("slices", "resize"): (None, 31, 11),
}
SIZE = (18, 22, 26)


def the_voxels(model_input: ModelInput) -> np.ndarray:
    """The tensor's first channel on `voxel_grid`, whatever the layout."""
    tensor = model_input.tensor
    if model_input.layout == "axial_triples":
        return tensor.reshape(model_input.voxel_grid.shape).numpy()
    if model_input.layout == "volume":
        return tensor[0, 0].numpy()
    return tensor[:, 0].numpy()


def places(grid: Grid) -> np.ndarray:
    """The mm of every voxel, [n0, n1, n2, 3]."""
    return grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))


def spec_of(way: tuple[str, str], **more: object) -> InputSpec:
    layout, fit = way
    return plain_input(WAYS[way], layout=layout, fit=fit, **more)


@settings(deadline=None, max_examples=120)
@given(
    way=st.sampled_from(sorted(WAYS)),
    orientation=st.sampled_from(ORIENTATIONS),
    spacing=st.tuples(*[st.floats(0.6, 4.0)] * 3),
    shrink=st.sampled_from([None, 0.7, 1.0, 1.6, 2.7]),
    at=st.tuples(*[st.floats(0.1, 0.9)] * 3),
)
def test_every_voxel_a_network_gets_was_taken_from_the_place_its_affine_gives(
    way, orientation, spacing, shrink, at
) -> None:
    """A CT whose values are its own mm along an axis: resampling keeps such a ramp exactly."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-30.0, 12.0, 7.0)
    ct_grid = Grid(SIZE, affine)
    turned = model_grid(ct_grid, plain_input((1, 1, 1), orientation=orientation))
    model_spacing = None if shrink is None else tuple(s * shrink for s in turned.spacing_mm)
    spec = spec_of(way, orientation=orientation, spacing_mm=model_spacing, padding=-999.0)
    point = ct_grid.to_world(np.array(at) * (np.array(SIZE) - 1)) if spec.needs_point else None
    for axis in range(3):
        ramp = Volume(places(ct_grid)[..., axis].astype(np.float32), affine)
        result = prepare(ramp, spec, point)
        found = the_voxels(result)
        mm = places(result.voxel_grid)
        index = ct_grid.to_index(mm)
        # Beyond the outer centres the border is repeated, and seen by what is interpolated there;
        # a Gaussian reaches some way inwards.
        before = np.minimum(turned.spacing_mm, model_spacing or turned.spacing_mm)
        widest = np.maximum(result.voxel_grid.spacing_mm, model_spacing or turned.spacing_mm)
        reach = 3.0 if max(widest / before) <= 2 else 9.0
        interior = ((index >= reach) & (index <= np.array(SIZE) - 1 - reach)).all(axis=-1)
        if result.padded is not None:
            interior &= ~result.padded
            assert (found[result.padded] == -999).all()
        assert np.abs(found[interior] - mm[interior][:, axis]).max(initial=0) < 2e-3


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("orientation", ["IPL", "SAR", "LIP", "PRS"])
def test_a_bright_voxel_lies_within_half_a_voxel_of_its_place(way, orientation) -> None:
    ct = Volume(np.full(SIZE, -1000, np.int16), np.diag([2.5, 0.7, 1.1, 1.0]))
    bright = (8, 11, 12)
    ct.voxels[bright] = 1000
    place = ct.grid.to_world(bright)
    spec = spec_of(way, orientation=orientation)
    result = prepare(ct, spec, tuple(place) if spec.needs_point else None)
    found = the_voxels(result)
    peak = np.unravel_index(found.argmax(), found.shape)
    assert found[peak] > -900
    off = np.abs(result.voxel_grid.to_index(place) - peak)
    assert off.max() <= 0.5 + 1e-6


def test_resizing_brings_outer_face_to_outer_face() -> None:
    """4 voxels become 2 and 8: the faces stay at -0.5 and 3.5 voxels, centres move inwards."""
    ct = random_ct((4, 4, 4), (2.0, 1.0, 1.0))
    voxels, affine = resize(ct.voxels, ct.affine, (2, 8, 4))
    grid = Grid(voxels.shape, affine)
    assert voxels.shape == (2, 8, 4)
    for n, faces in ((ct.grid.shape, ct.grid), (grid.shape, grid)):
        ends = faces.to_world([(-0.5,) * 3, np.array(n) - 0.5])
        assert ends.tolist() == [[-1.0, -0.5, -0.5], [7.0, 3.5, 3.5]]
    assert grid.to_world((0, 0, 0)).tolist() == [1.0, -0.25, 0.0]


def test_shrinking_to_half_by_size_averages_neighbours() -> None:
    ct = Volume(np.arange(8, dtype=np.int16).reshape(8, 1, 1), np.eye(4))
    spec = plain_input((4, 1, 1), fit="resize")
    assert prepare(ct, spec).tensor.ravel().tolist() == [0.5, 2.5, 4.5, 6.5]


def test_shrinking_by_much_skips_no_voxel() -> None:
    """A fine checkerboard shrunk eightfold is its mean everywhere, not a beat pattern."""
    voxels = np.indices((64, 64, 64)).sum(0) % 2 * 1000
    ct = Volume(voxels.astype(np.int16), np.eye(4))
    values = prepare(ct, plain_input((8, 8, 8), fit="resize")).tensor
    assert values == pytest.approx(torch.full_like(values, 500), abs=3)


@pytest.mark.parametrize(
    ("way", "channels", "tensor", "spatial"),
    [
        (("volume", "resize"), 3, (1, 3, 13, 31, 11), (13, 31, 11)),
        (("axial_triples", "resize"), 1, (1, 4, 3, 9, 40), (4, 9, 40)),
        (("slice", "centre"), 3, (1, 3, 15, 30), (1, 15, 30)),
        (("slices", "centre"), 2, (18, 2, 15, 30), (18, 15, 30)),
    ],
)
def test_each_layout_has_its_shape(way, channels, tensor, spatial) -> None:
    spec = spec_of(way, channels=channels)
    result = prepare(random_ct(SIZE), spec, (8.0, 9.0, 9.0) if spec.needs_point else None)
    assert tuple(result.tensor.shape) == tensor
    assert result.spatial_shape == spatial
    # The spatial axes lie where the voxels lie.
    first = result.voxel_grid.to_world((1 if way[0] == "axial_triples" else 0, 0, 0))
    assert Grid((1, 1, 1), result.affine).to_world((0, 0, 0)) == pytest.approx(first)


@pytest.mark.parametrize("way", [("volume", "centre"), ("slice", "window"), ("slices", "centre")])
def test_channels_are_normalised_last_each_by_its_own(way) -> None:
    ct = random_ct(SIZE)
    more = {"window_hu": (-1000, 400), "scale_to": (0, 1), "subtract": 0.25, "channels": 3}
    point = (8.0, 9.0, 9.0) if way[0] == "slice" else None
    plain = prepare(ct, plain_input(WAYS[way], layout=way[0], fit=way[1], **more), point).tensor
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    more |= {"channel_mean": mean, "channel_std": std}
    given = prepare(ct, plain_input(WAYS[way], layout=way[0], fit=way[1], **more), point).tensor
    for k in range(3):
        assert torch.allclose(given[:, k], (plain[:, k] - mean[k]) / std[k], atol=1e-6)


def test_the_slices_of_a_triple_are_normalised_each_by_its_own() -> None:
    ct = Volume(np.full((6, 2, 2), 8, np.int16), np.eye(4))
    spec = plain_input((6, 2, 2), layout="axial_triples", channel_mean=(1, 2, 3))
    assert prepare(ct, spec).tensor[0, 1, :, 0, 0].tolist() == [7, 6, 5]


def test_the_one_slice_is_the_cts_own_slice_through_the_point() -> None:
    ct = random_ct(SIZE, (2.5, 1.0, 1.0))
    spec = plain_input((1, 22, 26), layout="slice")
    for slice_, inferior in ((0, -1.2), (3, 7.4), (3, 8.7), (17, 43.7)):
        got = prepare(ct, spec, (inferior, 0.0, 25.0))
        assert np.array_equal(got.tensor[0, 0].numpy(), ct.voxels[slice_])
        assert got.affine[0, 3] == slice_ * 2.5


@pytest.mark.parametrize("length", [4, 5])
def test_the_point_lies_in_the_windows_middle_voxel(length) -> None:
    """Of an even number, in the first voxel behind the middle: as LUNA networks were trained."""
    prepared = prepare_ct(random_ct((20, 20, 20)), plain_input((length,) * 3, fit="window"))
    for index in range(20):
        box = prepared.box_at((index + 0.3, index - 0.4, float(index)))
        assert box.starts == (index - length // 2,) * 3


def test_padding_is_known_voxel_by_voxel() -> None:
    ct = random_ct((10, 10, 10))
    spec = plain_input((8, 6, 4), fit="window", padding=-2222.0)
    result = prepare(ct, spec, (1.0, 8.0, 5.0))
    assert result.margins == ((3, 0), (0, 1), (0, 0))
    assert np.array_equal(result.padded, result.tensor[0, 0].numpy() == -2222)
    assert prepare(ct, spec, (5.0, 5.0, 5.0)).padded is None


def test_where_a_window_would_lie_is_known_without_its_voxels() -> None:
    ct = Grid((10, 40, 40), np.diag([2.0, 1.0, 1.0, 1.0]))
    spec = plain_input((8, 20, 20), fit="window", padding="edge", orientation="SPL")
    extent = window_extent(ct, spec, (4.0, 20.0, 20.0), "ct")
    # Turned to grow superior, slice 2 is the eighth; the window holds voxels 3 to 10 of 0 to 9.
    assert extent.low_mm == (-3.0, 9.5, 9.5)
    assert extent.high_mm == (13.0, 29.5, 29.5)
    assert extent.ct_low_mm == (-1.0, 9.5, 9.5)
    assert extent.ct_high_mm == (13.0, 29.5, 29.5)
    assert extent.share_padded == pytest.approx(1 / 8)
    assert extent.padding == "its border repeated"


@settings(deadline=None, max_examples=60)
@given(
    way=st.sampled_from(sorted(WAYS)),
    orientation=st.sampled_from(ORIENTATIONS),
    shrink=st.sampled_from([None, 0.6, 1.7]),
)
def test_the_extent_foretold_is_the_extent_given(way, orientation, shrink) -> None:
    ct = random_ct(SIZE, (2.0, 1.0, 1.5))
    turned = model_grid(ct.grid, plain_input((1, 1, 1), orientation=orientation))
    spacing = None if shrink is None else tuple(s * shrink for s in turned.spacing_mm)
    spec = spec_of(way, orientation=orientation, spacing_mm=spacing)
    point = (20.0, 11.0, 18.0) if spec.needs_point else None
    foretold = window_extent(ct.grid, spec, point, "ct")
    given_ = prepare(ct, spec, point)
    faces = given_.voxel_grid.to_world([(-0.5,) * 3, np.array(given_.voxel_grid.shape) - 0.5])
    assert foretold.low_mm == pytest.approx(faces.min(axis=0))
    assert foretold.high_mm == pytest.approx(faces.max(axis=0))
    padded = 0.0 if given_.padded is None else given_.padded.mean()
    assert foretold.share_padded == pytest.approx(padded)


def test_many_windows_cost_one_preparation(monkeypatch) -> None:
    ct = random_ct((20, 20, 20))
    spec = plain_input((4, 4, 4), fit="window", spacing_mm=(1.5, 1.5, 1.5))
    alone = [prepare(ct, spec, (z, 9.0, 9.0)) for z in (3.0, 9.0, 15.0)]
    prepared = prepare_ct(ct, spec)
    monkeypatch.setattr("napari_hirescam.models.placing.resample", pytest.fail)
    for one, z in zip(alone, (3.0, 9.0, 15.0), strict=True):
        again = prepared.window((z, 9.0, 9.0))
        assert torch.equal(one.tensor, again.tensor)
        assert np.array_equal(one.affine, again.affine)


def test_a_point_is_asked_for_by_every_model_that_needs_one_and_by_no_other() -> None:
    ct = random_ct(SIZE)
    for way in WAYS:
        spec = spec_of(way)
        if spec.needs_point:
            with pytest.raises(InputError, match="nobody said where"):
                prepare(ct, spec)
        else:
            with pytest.raises(InputError, match="sees the whole CT"):
                prepare(ct, spec, (8.0, 9.0, 9.0))


@pytest.mark.parametrize("fit", ["centre", "resize", "window"])
def test_a_ct_of_one_slice_is_refused_by_a_model_that_needs_many(fit) -> None:
    ct = random_ct((1, 64, 64))
    spec = plain_input((32, 48, 48), fit=fit)
    with pytest.raises(InputError, match=r"it has 1 x 64 x 64 voxels.*expects 32 x 48 x 48"):
        prepare(ct, spec, (0.0, 32.0, 32.0) if fit == "window" else None)


def test_a_senseless_point_is_refused_before_the_ct_is_resampled(monkeypatch) -> None:
    monkeypatch.setattr("napari_hirescam.models.placing.resample", pytest.fail)
    spec = plain_input((4, 4, 4), fit="window", spacing_mm=(1.5, 1.5, 1.5))
    with pytest.raises(InputError, match="outside the CT"):
        prepare(random_ct((20, 20, 20)), spec, (500.0, 0.0, 0.0))


def test_smoothing_asks_whether_to_go_on_slab_by_slab() -> None:
    """40 slices and rows: three slabs are copied, three for each axis smoothed, one sampled."""
    asked = []
    voxels = np.zeros((40, 40, 40), np.float32)
    resample_to_spacing(voxels, np.eye(4), (4.0, 4.0, 4.0), lambda: asked.append(1))
    assert len(asked) == 3 + 3 * 3 + 1
    ct = random_ct((40, 40, 40))
    answers = iter([False] * 4 + [True])
    with pytest.raises(Cancelled):
        prepare(ct, plain_input((10, 10, 10), fit="resize"), None, lambda: next(answers))


def test_smoothing_in_slabs_is_smoothing_in_one_piece() -> None:
    from scipy import ndimage

    voxels = random_ct((40, 36, 50)).voxels
    got, affine = resample_to_spacing(voxels, np.eye(4), (3.0, 3.0, 3.0))
    whole = ndimage.gaussian_filter(voxels.astype(np.float32), 1.0, mode="nearest")
    # Every third voxel of the smoothed CT.
    assert got[:13, :12, :16] == pytest.approx(whole[:39:3, :36:3, :48:3], abs=1e-2)
    assert Grid(got.shape, affine).same_place_as(
        grid_at_spacing(Grid(voxels.shape, np.eye(4)), (3.0, 3.0, 3.0))
    )


@pytest.mark.parametrize("fill", [-2000.5, 40000.0])
def test_padding_that_the_stored_type_cannot_hold_is_kept_exactly(fill) -> None:
    ct = random_ct((4, 4, 4))
    spec = InputSpec(shape=(4, 4, 6), window_hu=(-5e4, 5e4), scale_to=None, padding=fill)
    assert (prepare(ct, spec).tensor[..., [0, -1]] == fill).all()


def test_a_corner_beyond_the_ct_repeats_the_corner() -> None:
    ct = random_ct((4, 5, 6))
    spec = plain_input((8, 8, 8), fit="window", padding="edge")
    got = prepare(ct, spec, (0.0, 0.0, 0.0)).tensor[0, 0].numpy()
    padded = np.pad(ct.voxels, 4, mode="edge")
    assert np.array_equal(got, padded[:8, :8, :8])
