"""How much of the input a cell sees: what is said of a receptive field larger than the input."""

from __future__ import annotations

import pytest
import torch
from networks import random_ct
from torch import nn

from napari_hirescam import explain
from napari_hirescam.attention import examine_target_layer
from napari_hirescam.attention.placement import Reach, ReceptiveField
from napari_hirescam.attention.share_seen import seen_in_words, share_seen, share_seen_in_run
from napari_hirescam.models import Classifier, InputSpec, ModelSpec

WINDOW = InputSpec(shape=[8, 12, 16], fit="window", window_hu=[-1000, 1000], spacing_mm=[2, 1, 1])


def field(*axes: tuple[float, float, float]) -> ReceptiveField:
    d, r, c = (Reach(*axis) for axis in axes)
    return ReceptiveField((d, r, c))


class Convolutions(nn.Module):
    """One convolution of a given kernel, stride 4; then linear."""

    def __init__(self, kernel: tuple[int, int, int], cells: tuple[int, int, int]) -> None:
        super().__init__()
        padding = tuple(k // 2 for k in kernel)
        self.cells = nn.Conv3d(1, 2, kernel, stride=4, padding=padding)
        self.last = nn.Linear(2 * cells[0] * cells[1] * cells[2], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.cells(x).flatten(1))


def classifier(kernel: tuple[int, int, int], **changes: object) -> Classifier:
    given = WINDOW.model_copy(update=changes)
    cells = tuple((n or 48) // 4 for n in given.shape)
    spec = ModelSpec(
        format=1,
        name="window",
        weights="weights.pt",
        architecture={"name": "axialnet"},
        labels=["nodule"],
        target_layer="cells",
        input=given,
    )
    torch.manual_seed(0)
    return Classifier(spec, Convolutions(kernel, cells))


def test_a_field_that_reaches_over_the_ends_from_every_cell_sees_all() -> None:
    wide = field((4, -8, 8), (4, -12, 12), (4, -16, 16))
    assert share_seen(wide, (2, 3, 4), WINDOW) == 1


def test_the_cell_that_sees_least_counts() -> None:
    # Along the slices cell 0 sees voxels 0 to 3 of 8, cell 1 voxels 4 to 7; rows and columns: all.
    half = field((4, 0, 3), (4, -12, 12), (4, -16, 16))
    assert share_seen(half, (2, 3, 4), WINDOW) == pytest.approx(1 / 2)
    # Cell 0 sees rows up to 8 of 12, so 9; the last of three, at 8 + [-8, 8], rows 0 to 11.
    some = field((4, -8, 8), (4, -8, 8), (4, -16, 16))
    assert share_seen(some, (2, 3, 4), WINDOW) == pytest.approx(9 / 12)


def test_triples_of_slices_are_places_along_the_slices() -> None:
    spec = InputSpec(shape=[6, 12, 16], layout="axial_triples", window_hu=[-1000, 1000])
    one_triple = field((1, 0, 0), (4, -12, 12), (4, -16, 16))
    assert share_seen(one_triple, (2, 3, 4), spec) == pytest.approx(1 / 2)


def test_nothing_is_said_of_what_is_not_known() -> None:
    wide = field((4, -8, 8), (4, -12, 12), (4, -16, 16))
    free = InputSpec(shape=[None, 12, 16], fit="centre", window_hu=[-1000, 1000])
    assert share_seen(wide, (2, 3, 4), free) is None
    assert share_seen(None, (2, 3, 4), WINDOW) is None


@pytest.mark.parametrize(
    ("kernel", "share"),
    [
        ((17, 25, 33), 1.0),
        # Cell 0 sees voxels 0 to 4 of 8, 0 to 6 of 12 and 0 to 8 of 16; the last ones see more.
        ((9, 13, 17), 5 / 8 * 7 / 12 * 9 / 16),
    ],
)
@pytest.mark.parametrize("orientation", ["IPL", "SPL", "LPI", "PIR"])
def test_a_run_finds_what_was_said_before_it(kernel, share, orientation) -> None:
    model = classifier(kernel, orientation=orientation)
    assert examine_target_layer(model).share_seen == pytest.approx(share)
    ct = random_ct((20, 30, 30), (2.5, 1.0, 1.1))
    done = explain(ct, model, at_mm=tuple(ct.grid.corners_mm().mean(axis=0)))
    assert share_seen_in_run(done) == pytest.approx(share)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (1.0, "all of the window"),
        (0.92, "nearly all of the window"),
        (0.79, None),
        (None, None),
    ],
)
def test_only_what_is_seen_by_every_cell_is_called_all(share, words) -> None:
    assert seen_in_words(share, WINDOW) == words


def test_a_whole_ct_is_no_window() -> None:
    assert seen_in_words(1.0, WINDOW.model_copy(update={"fit": "centre"})) == "all of the input"
