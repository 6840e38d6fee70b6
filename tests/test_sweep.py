"""A patch network over the whole CT: ranked places, and maps put together at their own strength."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from archives import unpack
from hypothesis import given, settings
from hypothesis import strategies as st
from model_folders import make_luna_folder
from networks import ConvThenLinear, SumOfVoxels, classifier_of, plain_input, random_ct
from torch import nn

from napari_hirescam.attention import explain
from napari_hirescam.attention.result import AttentionMap
from napari_hirescam.attention.stitching import stitch
from napari_hirescam.attention.sweep import sweep
from napari_hirescam.errors import AttributionError, Cancelled, InputError
from napari_hirescam.io import read_volume
from napari_hirescam.models import load_model
from napari_hirescam.models.one_ct import OneCTClassifier
from napari_hirescam.volume import Volume

WINDOW = (4, 8, 8)


class BrightMiddle(nn.Module):
    """Two labels; the second's logit is the sum of the window's 2 x 2 x 2 middle voxels."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Conv3d(1, 1, 1, bias=False)
        nn.init.ones_(self.see.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.see(x)
        middle = seen[:, :, 1:3, 3:5, 3:5].flatten(1).sum(1, keepdim=True)
        return torch.cat([0 * middle, middle], dim=1)


class OnlyOneAtATime(BrightMiddle):
    """Mixes its batch up: the answer for two is not that for each."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x - x.mean(dim=0, keepdim=True) * (len(x) > 1))


def searcher(network: nn.Module | None = None, **more: object):
    spec = plain_input(WINDOW, fit="window", **{"window_hu": (0, 1), "scale_to": (0, 1), **more})
    return classifier_of(network or BrightMiddle(), "see", spec, 2, activation="softmax")


def spots(*places: tuple[int, int, int], shape=(12, 32, 32), spacing=(2.0, 1.0, 1.0)) -> Volume:
    """A CT of soft tissue without anything, and some bright spots of 2 x 2 x 2 voxels."""
    ct = Volume(np.zeros(shape, np.float32), np.diag([*spacing, 1.0]), "spots")
    ct.affine.setflags(write=True)
    for strength, (z, y, x) in zip((1.0, 0.8, 0.6, 0.4), places, strict=False):
        ct.voxels[z - 1 : z + 1, y - 1 : y + 1, x - 1 : x + 1] = strength
    return ct


def test_spots_are_found_where_they_are_and_in_order() -> None:
    places = [(9, 24, 6), (2, 6, 24), (6, 14, 16)]
    ct, more = spots(*places), {"stride_mm": 2.0, "inside_body": False, "maps_for_top": 0}
    result = sweep(ct, searcher(), "label 1", **more)
    for hit, place in zip(result.hits, places, strict=False):
        # The window's middle voxels are the spot's own: the point lies in the later of two.
        assert hit.centre_mm == pytest.approx(np.array(place) * (2.0, 1.0, 1.0))
    assert [hit.rank for hit in result.hits[:3]] == [1, 2, 3]
    assert [hit.logit for hit in result.hits[:3]] == pytest.approx([8.0, 6.4, 4.8], abs=1e-4)
    assert result.hits[0].probability == pytest.approx(1 / (1 + np.exp(-8.0)))


def test_neighbours_of_one_spot_are_one_hit() -> None:
    """A spot is seen by many windows a voxel apart; only the best of them is listed."""
    ct = spots((3, 8, 8), shape=(7, 16, 16))
    result = sweep(ct, searcher(), "label 1", stride_mm=1.0, inside_body=False)
    assert (result.logits > 0).sum() > 8
    assert sum(hit.logit > 0 for hit in result.hits) == 1
    centres = np.array([hit.centre_mm for hit in result.hits])
    for k, centre in enumerate(centres):
        others = np.abs(np.delete(centres, k, axis=0) - centre)
        assert (others > np.array([2.0 * 2, 4.0, 4.0])).any(axis=1).all()


def test_hits_whose_probabilities_are_both_one_are_still_told_apart() -> None:
    ct = spots((9, 24, 6), (2, 6, 24))
    ct.voxels[:] *= 1000
    given_ = searcher(window_hu=(0, 1000), scale_to=(0, 1000))
    first, second = sweep(ct, given_, "label 1", stride_mm=2.0, inside_body=False).hits[:2]
    assert first.probability == second.probability == 1.0
    assert first.logit == pytest.approx(8000)
    assert second.logit == pytest.approx(6400)


def test_explaining_a_hit_gives_its_score_again() -> None:
    torch.manual_seed(1)
    network = ConvThenLinear(WINDOW, 3)
    spec = plain_input(WINDOW, fit="window", orientation="SLP", spacing_mm=(1.5, 1.2, 1.2))
    classifier = classifier_of(network, "pool", spec, 3)
    ct = random_ct((10, 24, 20), (2.0, 1.0, 1.0))
    result = sweep(ct, classifier, "label 2", inside_body=False)
    for hit in result.hits[:3]:
        again = explain(ct, classifier, at_mm=hit.centre_mm)
        assert again.logits[2] == pytest.approx(hit.logit, rel=1e-4, abs=1e-4)
        lattice_index = np.rint(result.lattice.to_index(hit.centre_mm)).astype(int)
        assert result.logits[tuple(lattice_index)] == pytest.approx(hit.logit)
        assert result.lattice.to_world(lattice_index) == pytest.approx(hit.centre_mm)


@pytest.mark.parametrize("stride", [None, 1.0, 3.0, 100.0])
@pytest.mark.parametrize("orientation", ["IPL", "SRA"])
def test_every_voxel_is_within_half_a_stride_of_a_windows_centre(stride, orientation) -> None:
    ct = random_ct((7, 19, 23), (2.0, 1.0, 1.0))
    classifier = searcher(orientation=orientation)
    result = sweep(ct, classifier, "label 1", stride_mm=stride, maps_for_top=0, inside_body=False)
    centres = [
        result.lattice.affine[axis, 3] + result.lattice.affine[axis, axis] * np.arange(n)
        for axis, n in enumerate(result.lattice.shape)
    ]
    for axis, (n, spacing) in enumerate(zip(ct.grid.shape, ct.spacing_mm, strict=True)):
        voxels = np.arange(n)[:, None] * spacing
        off = np.abs(voxels - centres[axis]).min(axis=1).max()
        step = result.lattice.spacing_mm[axis]
        assert off <= step / 2 + 1e-9 or len(centres[axis]) == 1
        assert (centres[axis] >= 0).all()
        assert (centres[axis] <= (n - 1) * spacing).all()


def test_windows_of_air_are_skipped_and_counted() -> None:
    ct = spots((6, 15, 15))
    ct.voxels[:, :, 16:] = -1000
    result = sweep(ct, searcher(padding=0.0), "label 1", maps_for_top=0)
    assert result.skipped > 0
    assert result.scored + result.skipped == result.probabilities.size
    assert np.isnan(result.probabilities).sum() == result.skipped
    assert sweep(ct, searcher(), "label 1", maps_for_top=0, inside_body=False).skipped == 0
    skipped = result.lattice.to_world(np.argwhere(np.isnan(result.probabilities)))
    assert (skipped[:, 2] >= 16 + 4).all()


def test_a_ct_of_nothing_but_air_has_no_hits() -> None:
    ct = Volume(np.full((12, 32, 32), -1000, np.int16), np.eye(4))
    result = sweep(ct, searcher(), "label 1")
    assert result.hits == ()
    assert result.stitched is None
    assert result.scored == 0
    assert (result.score_map(ct.grid) == -1).all()


@pytest.mark.parametrize(("network", "at_once"), [(BrightMiddle, 3), (OnlyOneAtATime, 1)])
def test_windows_go_in_batches_only_where_the_answers_stay_the_same(network, at_once) -> None:
    ct = spots((9, 25, 6), (2, 6, 25))
    ct.voxels[...] += np.random.default_rng(0).uniform(0, 0.1, ct.voxels.shape)
    result = sweep(ct, searcher(network()), "label 1", batch=3, maps_for_top=0, inside_body=False)
    one_by_one = sweep(ct, searcher(), "label 1", batch=1, maps_for_top=0, inside_body=False)
    assert result.provenance["windows_at_once"] == at_once
    assert np.allclose(result.logits, one_by_one.logits, atol=1e-5)


def test_a_network_that_takes_no_batches_is_run_one_by_one() -> None:
    class Strict(BrightMiddle):
        def forward(self, x):
            if len(x) != 1:
                raise ValueError("one at a time")
            return super().forward(x)[0]

    result = sweep(spots((6, 15, 15)), searcher(Strict()), "label 1", inside_body=False)
    assert result.provenance["windows_at_once"] == 1
    assert result.scored > 10


def test_a_network_that_runs_out_of_memory_gets_fewer_windows_at_once() -> None:
    class Small(BrightMiddle):
        def forward(self, x):
            if len(x) > 3:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(x)

    result = sweep(spots((6, 15, 15)), searcher(Small()), "label 1", inside_body=False)
    assert result.provenance["windows_at_once"] == 2


def test_one_slice_networks_search_slice_by_slice() -> None:
    class Slices(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.see = nn.Conv2d(1, 1, 1, bias=False)
            nn.init.ones_(self.see.weight)

        def forward(self, x):
            return self.see(x).flatten(1).sum(1, keepdim=True)

    spec = plain_input((1, 16, 16), layout="slice", fit="resize")
    ct = Volume(np.zeros((9, 32, 32), np.float32), np.diag([2.5, 1, 1, 1]))
    ct.voxels[6] = 1.0
    classifier = classifier_of(Slices(), "see", spec, 1)
    result = sweep(ct, classifier, "label 0", inside_body=False, maps_for_top="all")
    assert result.lattice.shape == (9, 1, 1)
    assert result.hits[0].centre_mm[0] == 15.0
    assert result.stitched.coverage.max() == 1
    assert result.stitched.attention.values.shape[0] == 9
    assert result.stitched.attention.values[6] == pytest.approx(np.ones((16, 16)))


# -- the stitched map ------------------------------------------------------------------------


def a_map(values: np.ndarray, start: tuple[float, float, float], pitch: float) -> AttentionMap:
    affine = np.diag([pitch, pitch, pitch, 1.0])
    affine[:3, 3] = np.array(start) + pitch / 2
    return AttentionMap(values.astype(np.float32), affine, "spot", "hirescam", 1.0, 0.7)


def test_where_one_window_lies_alone_it_keeps_its_own_strength() -> None:
    """A strong and a weak window beside each other: neither is scaled to the other."""
    strong, weak = (
        a_map(np.full((2, 2, 2), 9.0), (0, 0, 0), 4.0),
        a_map(np.full((2, 2, 2), -0.5), (0, 0, 16), 4.0),
    )
    stitched = stitch([strong, weak])
    values = stitched.attention.values
    assert values.shape == (2, 2, 6)
    assert (values[..., :2] == 9.0).all()
    assert (values[..., 4:] == -0.5).all()
    assert (values[..., 2:4] == 0).all()
    assert (stitched.coverage[..., 2:4] == 0).all()
    assert stitched.attention.grid.to_world((0, 0, 0)).tolist() == [2.0, 2.0, 2.0]


def test_where_windows_overlap_their_mean_is_taken() -> None:
    left, right = (
        a_map(np.full((1, 1, 2), 3.0), (0, 0, 0), 4.0),
        a_map(np.full((1, 1, 2), 1.0), (0, 0, 4), 4.0),
    )
    stitched = stitch([left, right])
    assert stitched.attention.values.ravel().tolist() == [3.0, 2.0, 1.0]
    assert stitched.coverage.ravel().tolist() == [1.0, 2.0, 1.0]


@settings(deadline=None, max_examples=60)
@given(
    starts=st.lists(st.tuples(*[st.floats(-20, 20)] * 3), min_size=1, max_size=6),
    pitch=st.floats(0.7, 9.0),
    seed=st.integers(0, 100),
)
def test_no_cell_is_lost_or_counted_twice(starts, pitch, seed) -> None:
    """Sum of value x coverage x voxel = sum of cell x cell's volume, wherever windows lie."""
    rng = np.random.default_rng(seed)
    maps = [a_map(rng.normal(size=(2, 3, 3)), start, pitch) for start in starts]
    stitched = stitch(maps)
    voxel = np.prod(stitched.attention.grid.spacing_mm)
    total = (stitched.attention.values.astype(float) * stitched.coverage).sum() * voxel
    expected = sum(m.values.sum(dtype=float) for m in maps) * pitch**3
    scale = sum(np.abs(m.values).sum(dtype=float) for m in maps) * pitch**3
    assert abs(total - expected) < 2e-3 * scale
    covered = stitched.coverage.sum(dtype=float) * voxel
    assert covered == pytest.approx(len(maps) * 18 * pitch**3, rel=2e-3)


def test_windows_half_a_cell_apart_are_stitched_on_half_cells() -> None:
    maps = [a_map(np.ones((2, 3, 3)), (0, 0, 12.0 * k), 8.0) for k in range(4)]
    stitched = stitch(maps)
    assert stitched.attention.grid.spacing_mm == pytest.approx((8.0, 8.0, 4.0))
    assert set(np.unique(stitched.coverage)) == {1.0, 2.0}


def test_the_stitched_map_of_an_exact_network_adds_up_to_the_scores() -> None:
    """Over all windows: sum of HiResCAM = sum of (logit - bias), here without a bias."""
    torch.manual_seed(0)
    spec = plain_input(WINDOW, fit="window", orientation="SPR", padding="edge")
    classifier = classifier_of(SumOfVoxels(), "see", spec, 1)
    ct = random_ct((8, 16, 16), (2.0, 1.0, 1.0))
    result = sweep(ct, classifier, "label 0", maps_for_top="all", inside_body=False)
    stitched = result.stitched
    assert stitched.windows == result.scored
    # Cells are the voxels themselves, and so are the stitched map's.
    assert stitched.attention.grid.spacing_mm == (2.0, 1.0, 1.0)
    total = (stitched.attention.values.astype(float) * stitched.coverage).sum()
    assert total == pytest.approx(result.logits.sum(dtype=float), rel=1e-5)
    # And each voxel inside the CT has its own HU, however many windows cover it.
    inside = stitched.attention.on_grid(ct.grid)
    assert inside == pytest.approx(ct.voxels, abs=1e-2)


# -- what can go wrong -----------------------------------------------------------------------


def test_a_search_can_be_cancelled_at_every_stage() -> None:
    ct, classifier = spots((6, 15, 15)), searcher()
    asked = []

    def count() -> bool:
        asked.append(1)
        return False

    sweep(ct, classifier, "label 1", should_stop=count, inside_body=False)
    assert len(asked) > 5
    for stop_at in (0, 1, len(asked) // 3, len(asked) // 2, len(asked) - 1):
        answered = []

        def answer(stop_at=stop_at, answered=answered) -> bool:
            answered.append(len(answered) >= stop_at)
            return answered[-1]

        try:
            sweep(ct, classifier, "label 1", should_stop=answer, inside_body=False)
        except Cancelled:
            assert answered[-1]
        else:
            # It asks by the clock, too: on a quick run the last question may never come.
            assert stop_at > 1
            assert not any(answered)


def test_progress_grows_to_its_total() -> None:
    told = []
    sweep(
        spots((6, 15, 15)),
        searcher(),
        "label 1",
        maps_for_top=5,
        inside_body=False,
        progress=lambda done, total: told.append((done, total)),
    )
    done = [d for d, _ in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]
    assert len({total for _, total in told}) == 1


def test_a_model_that_sees_the_whole_ct_is_not_searched_with() -> None:
    classifier = classifier_of(SumOfVoxels(), "see", plain_input((4, 4, 4)), 1)
    with pytest.raises(InputError, match="sees the whole CT"):
        sweep(random_ct((4, 4, 4)), classifier, "label 0")


@pytest.mark.parametrize(
    "wrong", [{"label": "none"}, {"method": "magic"}, {"stride_mm": 0.0}, {"stride_mm": -1.0}]
)
def test_senseless_settings_are_refused(wrong) -> None:
    arguments = {"label": "label 1", **wrong}
    with pytest.raises(ValueError, match=r"none|magic|stride of"):
        sweep(spots(), searcher(), **arguments)


class Broken(BrightMiddle):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x):
        if self.how == "raises":
            raise RuntimeError("size mismatch")
        scores = super().forward(x)
        return scores * torch.nan if self.how == "nan" else scores[:, :1]


@pytest.mark.parametrize(
    ("how", "words"), [("raises", "size mismatch"), ("nan", "NaN"), ("width", "1 scores for 2")]
)
def test_a_network_that_fails_is_named(how, words) -> None:
    with pytest.raises(AttributionError, match=words):
        sweep(spots(), searcher(Broken(how)), "label 1", inside_body=False)


def test_a_prepared_ct_is_used_for_its_own_volume_only() -> None:
    spec = plain_input(WINDOW, fit="window", spacing_mm=(1.5, 1.5, 1.5))
    classifier = classifier_of(SumOfVoxels(), "see", spec, 1)
    ct, other = random_ct((8, 16, 16), seed=1), random_ct((8, 16, 16), seed=2)
    bound = OneCTClassifier(classifier, ct)
    at = (4.0, 8.0, 8.0)
    for volume in (ct, other):
        assert torch.equal(bound.prepare(volume, at).tensor, classifier.prepare(volume, at).tensor)


def test_the_nodule_of_a_real_scan_is_the_first_hit(
    shared_dir: Path, luna_weights: Path, tmp_path: Path
) -> None:
    """The published LUNA16 network on the left lung of LIDC-0001: rank 1, within a few mm."""
    archive = shared_dir / "data/lidc/LIDC-IDRI-0001_partial_dicom.tar.xz"
    whole = read_volume(unpack(archive, tmp_path / "ct"))
    readers = read_volume(shared_dir / "data/lidc/LIDC-IDRI-0001_nodule_readers.nii.gz")
    nodule = readers.grid.to_world(np.argwhere(readers.voxels >= 2).mean(0))
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    classifier = load_model(folder, trust=lambda _request: True)
    affine = whole.affine.copy()
    affine[:3, 3] = whole.grid.to_world((0, 240, 250))
    lung = Volume(whole.voxels[:, 240:460, 250:420], affine, "left lung")
    result = sweep(lung, classifier, "nodule", maps_for_top=9)
    first, second = result.hits[:2]
    assert np.abs(np.array(first.centre_mm) - nodule).max() < 8
    assert first.probability > 0.99
    assert second.probability < 0.9
    assert result.stitched.attention.grid.spacing_mm == pytest.approx((40.0, 5.625, 5.625))
