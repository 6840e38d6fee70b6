"""Convolution, ReLU and max pool in slabs give what the three layers give one after the other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from napari_hirescam.models.slab_stem import PooledConvolution, can_be_pooled_in_slabs


def by_axis(low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(low, high)] * 3)


def plain(convolution: nn.Module, pool: nn.Module, volume: Tensor) -> Tensor:
    return pool(nn.functional.relu(convolution(volume)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data())
def test_slabs_of_any_size_give_what_the_layers_give(data) -> None:
    draw = data.draw
    groups = draw(st.sampled_from([1, 2]))
    convolution = nn.Conv3d(
        2,
        4,
        draw(by_axis(1, 4), "kernel"),
        draw(by_axis(1, 3), "stride"),
        draw(by_axis(0, 4), "padding"),
        draw(by_axis(1, 2), "dilation"),
        groups,
        bias=draw(st.booleans()),
    ).double()
    kernel = draw(by_axis(1, 4), "pool kernel")
    pool = nn.MaxPool3d(
        kernel,
        draw(by_axis(1, 5), "pool stride"),
        tuple(draw(st.integers(0, size // 2), "pool padding") for size in kernel),
        ceil_mode=draw(st.booleans(), "ceil_mode"),
    )
    assume(can_be_pooled_in_slabs(convolution, pool))
    shape = (draw(st.integers(2, 16), "depth"), *draw(by_axis(3, 7), "plane")[:2])
    volume = torch.randn(draw(st.integers(1, 2)), 2, *shape, dtype=torch.float64)
    with torch.no_grad():
        try:
            expected = plain(convolution, pool, volume)
        except RuntimeError:  # the volume is too small for these layers
            assume(False)
        for slab_bytes in (1, draw(st.integers(1, 20_000), "slab"), 2**30):
            found = PooledConvolution(convolution, pool, slab_bytes)(volume)
            assert found.shape == expected.shape
            assert torch.allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_memory_layout_and_missing_batch_axis_stay_as_they_were(layout) -> None:
    convolution = nn.Conv3d(2, 4, 3, padding=1)
    convolution.weight.data = convolution.weight.data.contiguous(memory_format=layout)
    pool = nn.MaxPool3d(3, 2, 1)
    stem = PooledConvolution(convolution, pool, 1)
    volume = torch.randn(1, 2, 9, 8, 7)
    with torch.no_grad():
        expected, found = plain(convolution, pool, volume), stem(volume)
        assert found.stride() == expected.stride()
        assert torch.allclose(stem(volume[0]), expected[0], atol=1e-6)


def test_no_more_of_the_convolution_is_held_than_allowed(monkeypatch) -> None:
    seen: list[int] = []
    convolve = PooledConvolution._convolve

    def watched(self: PooledConvolution, *args: int) -> Tensor:
        made = convolve(self, *args)
        seen.append(made.numel() * made.element_size())
        return made

    monkeypatch.setattr(PooledConvolution, "_convolve", watched)
    allowed = 6 * 4 * 10 * 10 * 4  # six slices of 4 channels, 10 x 10, float32
    stem = PooledConvolution(nn.Conv3d(1, 4, 3, padding=1), nn.MaxPool3d(3, 2, 1), allowed)
    stem(torch.randn(1, 1, 30, 10, 10))
    assert len(seen) == 8
    assert max(seen) <= allowed
    assert sum(seen) > allowed


@pytest.mark.parametrize(
    ("convolution", "pool"),
    [
        (nn.Conv2d(1, 4, 3), nn.MaxPool2d(2)),
        (nn.Conv3d(1, 4, 3, padding="same"), nn.MaxPool3d(2)),
        (nn.Conv3d(1, 4, 3, padding=1, padding_mode="replicate"), nn.MaxPool3d(2)),
        (nn.Conv3d(1, 4, 1, padding=1), nn.MaxPool3d(2)),
        (nn.Conv3d(1, 4, 3), nn.MaxPool3d(2, dilation=2)),
        (nn.Conv3d(1, 4, 3), nn.MaxPool3d(2, return_indices=True)),
    ],
    ids=["2-D", "same", "replicate", "margin only", "gaps", "indices"],
)
def test_layers_it_cannot_stand_in_for_are_refused(convolution, pool) -> None:
    assert not can_be_pooled_in_slabs(convolution, pool)
