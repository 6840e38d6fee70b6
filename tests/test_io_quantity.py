"""Where a mask ends and a picture of few grey values begins."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hirescam.io.quantity import judge
from napari_hirescam.volume import Quantity


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize(("n_values", "quantity"), [(20, "labels"), (21, "unknown")])
def test_noise_of_more_than_twenty_values_is_no_mask(
    n_values: int, quantity: str, dtype: type
) -> None:
    # Lowest and highest are among the values that count.
    noise = np.random.default_rng(0).integers(0, n_values, (8, 20, 20)).astype(dtype)
    assert len(np.unique(noise)) == n_values
    found, _ = judge(noise, noise.min(), noise.max())
    assert found is Quantity(quantity)


def test_twenty_one_organs_with_smooth_borders_are_a_mask() -> None:
    blocks = np.repeat(np.repeat(np.arange(21, dtype=np.uint8)[:, None], 6, 0), 40, 1)
    found, _ = judge(blocks[None], blocks.min(), blocks.max())
    assert found is Quantity.LABELS
