"""The augmentation: what is drawn, and that CT, cells and network turn together."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

import numpy as np
import pytest
import torch
from networks import plain_input, random_ct
from torch import nn

from napari_hirescam.models.axialnet import AxialNet
from napari_hirescam.models.preprocess import prepare
from napari_hirescam.training.attention import TrainableAttention
from napari_hirescam.training.flips import Flip, draw_flip
from napari_hirescam.training.mask_loss import mask_loss
from napari_hirescam.volume import Volume

FLIPS = [Flip(axis, turns) for axis in (None, 0, 1, 2) for turns in range(4)]


def names(flip: Flip) -> str:
    return f"axis {flip.axis}, {flip.quarter_turns} turns"


class TestDraw:
    def test_half_are_flipped_half_are_turned_and_all_ways_occur_alike(self) -> None:
        n = 6000
        drawn = [draw_flip(0, epoch, f"case {k}") for epoch in range(20) for k in range(n // 20)]
        axes = Counter(flip.axis for flip in drawn)
        turns = Counter(flip.quarter_turns for flip in drawn)
        # Four standard deviations of what counting says.
        assert abs(axes[None] - n / 2) < 4 * np.sqrt(n / 4)
        assert abs(turns[0] - n / 2) < 4 * np.sqrt(n / 4)
        for k in range(3):
            assert abs(axes[k] - n / 6) < 4 * np.sqrt(n * 5 / 36)
            assert abs(turns[k + 1] - n / 6) < 4 * np.sqrt(n * 5 / 36)
        both = sum(flip.axis is not None and flip.quarter_turns > 0 for flip in drawn)
        assert abs(both - n / 4) < 4 * np.sqrt(n * 3 / 16)

    def test_it_depends_on_seed_epoch_and_case_and_on_nothing_else(self) -> None:
        places = [(seed, epoch, case) for seed in (0, 1) for epoch in range(20) for case in "abc"]
        forwards = {place: draw_flip(*place) for place in places}
        np.random.seed(5)  # noqa: NPY002 - what somebody else does to the global generators
        torch.manual_seed(5)
        assert forwards == {place: draw_flip(*place) for place in reversed(places)}
        for position in range(3):
            groups: dict[tuple, list[Flip]] = {}
            for place, flip in forwards.items():
                rest = place[:position] + place[position + 1 :]
                groups.setdefault(rest, []).append(flip)
            assert any(len(set(group)) > 1 for group in groups.values())

    def test_these_draws_stay_what_they_are(self) -> None:
        """Written down: a resumed training must go on with the draws it began with."""
        drawn = [draw_flip(0, epoch, "case 1") for epoch in range(6)]
        assert [flip.axis for flip in drawn] == [None, None, None, 0, 2, None]
        assert [flip.quarter_turns for flip in drawn] == [3, 2, 0, 3, 0, 0]

    def test_what_is_not_square_is_turned_by_halves_only(self) -> None:
        turns = {draw_flip(0, k, "a", square=False).quarter_turns for k in range(100)}
        assert turns == {0, 2}


class TestCells:
    @pytest.mark.parametrize("flip", FLIPS, ids=names)
    def test_they_are_flipped_first_and_turned_then(self, flip: Flip) -> None:
        cells = np.random.default_rng(0).random((2, 3, 4, 4)) < 0.5
        expected = cells if flip.axis is None else np.flip(cells, 1 + flip.axis)
        for _ in range(flip.quarter_turns):
            # A quarter turn by hand: the last column becomes the first row.
            expected = np.stack([expected[..., 3 - row] for row in range(4)], axis=-2)
        assert np.array_equal(flip.of_cells(cells), expected)

    def test_a_cell_whose_place_is_known(self) -> None:
        cells = np.zeros((1, 3, 4, 4), dtype=bool)
        cells[0, 0, 1, 3] = True
        assert np.argwhere(Flip(0).of_cells(cells)).tolist() == [[0, 2, 1, 3]]
        assert np.argwhere(Flip(2).of_cells(cells)).tolist() == [[0, 0, 1, 0]]
        # Row 1 of the last column: column 1 of the first row.
        assert np.argwhere(Flip(None, 1).of_cells(cells)).tolist() == [[0, 0, 0, 1]]
        assert np.argwhere(Flip(1, 1).of_cells(cells)).tolist() == [[0, 0, 0, 2]]

    def test_a_quarter_turn_of_what_is_not_square_is_refused(self) -> None:
        with pytest.raises(ValueError, match="quarter turn"):
            Flip(None, 3).of_cells(np.zeros((1, 2, 3, 4), dtype=bool))
        assert Flip(None, 2).of_cells(np.zeros((1, 2, 3, 4), dtype=bool)).shape == (1, 2, 3, 4)


@pytest.mark.parametrize(
    "spec",
    [
        plain_input((6, 8, 8)),
        plain_input((6, 8, 8), channels=2, channel_mean=(1.0, 2.0)),
        plain_input((6, 8, 8), layout="axial_triples"),
        plain_input(
            (6, 8, 8),
            layout="axial_triples",
            channel_mean=(1.0, 20.0, 300.0),
            channel_std=(1.0, 2.0, 3.0),
        ),
        plain_input((6, 8, 8), layout="slices", channels=3),
    ],
    ids=["volume", "channels", "triples", "triples of their own scale", "slices"],
)
@pytest.mark.parametrize("flip", FLIPS, ids=names)
def test_a_flipped_input_is_the_input_of_the_flipped_ct(spec, flip: Flip) -> None:
    ct = random_ct((6, 8, 8))
    flipped = Volume(flip.of_cells(ct.voxels), ct.affine)
    expected = prepare(flipped, spec).tensor
    found = flip.of_input(prepare(ct, spec).tensor, spec)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("flip", [*FLIPS[:4], Flip(2, 3)], ids=names)
def test_of_a_single_slice_rows_and_columns_are_turned(flip: Flip) -> None:
    spec = plain_input((1, 8, 8), layout="slice")
    slice_ = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(flip.of_cells(slice_[0].numpy()))[None]
    assert torch.equal(flip.of_input(slice_, spec), expected)


@pytest.fixture(scope="module")
def axial_net() -> AxialNet:
    """An AxialNet on odd lengths all the way, whose grid lies alike from both ends."""
    torch.manual_seed(0)
    network = AxialNet(2, grid=5, trunk_channels=(4, 4, 4, 4), trunk_stages=2, conv_channels=(4,))
    return network.double().eval()


def turned(network: AxialNet, flip: Flip) -> AxialNet:
    """The network that sees a flipped and turned CT as the first one sees the CT."""
    twin = deepcopy(network)
    for module in twin.modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight.data
            if flip.axis in (1, 2):
                weight = weight.flip(1 + flip.axis)
            module.weight.data = weight.rot90(flip.quarter_turns, (2, 3)).contiguous()
    if flip.axis == 0:  # the three slices of an image change places
        first = twin.features[0]
        first.weight.data = first.weight.data.flip(1).contiguous()
    return twin


@pytest.mark.parametrize(
    "flip", [*FLIPS[::4], Flip(None, 1), Flip(0, 3), Flip(1, 1), Flip(2, 2)], ids=names
)
def test_ct_cells_and_network_flipped_together_keep_the_loss(axial_net, flip: Flip) -> None:
    spec = plain_input((12, 49, 49), layout="axial_triples")
    draw = torch.Generator().manual_seed(1)
    ct = torch.randn(1, 4, 3, 49, 49, generator=draw, dtype=torch.float64)
    attention = TrainableAttention(axial_net, "conv2d.1", (1, 4, 3, 49, 49))
    allowed = np.random.default_rng(2).random((2, *attention.cells)) < 0.4
    flipped_allowed = torch.from_numpy(flip.of_cells(allowed))[None]
    with torch.no_grad():
        logits, maps = attention(ct)
        loss = float(mask_loss(maps, torch.from_numpy(allowed)[None]))
        attention.network = turned(axial_net, flip)
        flipped_logits, flipped_maps = attention(flip.of_input(ct, spec))
        flipped_loss = float(mask_loss(flipped_maps, flipped_allowed))
        unturned_loss = float(mask_loss(flipped_maps, torch.from_numpy(allowed)[None]))
    assert torch.allclose(flipped_logits, logits, rtol=1e-9)
    expected = torch.from_numpy(flip.of_cells(maps[0].numpy()))
    assert torch.allclose(flipped_maps[0], expected, rtol=1e-9, atol=1e-12)
    assert flipped_loss == pytest.approx(loss, rel=1e-10)
    # It is the cells' turning that does it: left as they were, they give another loss.
    assert flip == Flip() or unturned_loss != pytest.approx(loss, rel=1e-6)
