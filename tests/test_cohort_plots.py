"""What stands over the pictures of a cohort's report."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_hirescam.evaluation.cohort_plots import draw_snapshots
from napari_hirescam.evaluation.gallery import Snapshot


def test_a_map_without_a_positive_cell_is_said_to_have_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from matplotlib.axes import Axes

    titles: list[str] = []
    monkeypatch.setattr(Axes, "set_title", lambda _ax, text, **_how: titles.append(text))
    flat = np.zeros((4, 6), np.float32)
    picture = Snapshot(
        case="c1",
        label="mass",
        probability=0.5,
        organs=("lungs",),
        shares={"hirescam": 0.25, "gradcam": math.nan},
        chance=0.1,
        hu=flat,
        organ=flat > 0,
        lesion=None,
        maps={"hirescam": flat, "gradcam": flat},
        slice_mm=0.0,
    )
    assert draw_snapshots([picture], ("hirescam", "gradcam")).startswith(b"\x89PNG")
    assert titles == ["mass, c1, p 0.50", "HiResCAM: 25% inside",
                      "Grad-CAM: no positive cell"]  # fmt: skip
