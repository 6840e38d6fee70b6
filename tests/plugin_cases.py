"""CTs, model folders and explanations for the plugin's tests, and the steps of a user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from napari_hirescam.attention import Explanation, Guarantee, GuaranteeState
from napari_hirescam.io import write_volume
from napari_hirescam.models import InputSpec, ModelSpec, save_model
from napari_hirescam.models.axialnet import AxialNet
from napari_hirescam.volume import Grid, Volume

LABELS = ("nodule", "mass", "effusion")
CT_SPACING = (6.0, 4.0, 4.0)


def make_volume(seed: int = 0, shape: tuple[int, int, int] = (24, 40, 40)) -> Volume:
    """Make a CT of noise about soft tissue, with air around, in mm."""
    rng = np.random.default_rng(seed)
    voxels = np.full(shape, -1000, np.int16)
    inside = tuple(slice(n // 6, -(n // 6)) for n in shape)
    voxels[inside] = rng.integers(-100, 200, voxels[inside].shape)
    affine = np.diag([*CT_SPACING, 1.0])
    affine[:3, 3] = (-300.0, -80.0, -70.0)
    return Volume(voxels, affine, "chest")


def write_ct(path: Path, volume: Volume | None = None) -> Path:
    """Write a CT as NIfTI."""
    volume = volume or make_volume()
    return write_volume(path, volume.voxels, volume.grid)


def make_model(folder: Path, labels: Sequence[str] = LABELS, **input_changes: object) -> Path:
    """Write the folder of a tiny AxialNet with random weights."""
    torch.manual_seed(5)
    arguments = {
        "trunk_channels": [4, 4, 4, 4],
        "trunk_stages": 1,
        "stem_pool": False,
        "conv_channels": [4],
    }
    probe = AxialNet(1, 1, **arguments)
    cells = probe.trunk(torch.zeros(1, 3, 40, 40)).shape[-1]
    network = AxialNet(len(labels), cells, **arguments)
    settings = {"spacing_mm": (4.0, 4.0, 4.0), "shape": (None, 40, 40), "layout": "axial_triples"}
    spec = ModelSpec(
        name="Tiny AxialNet",
        architecture={"name": "axialnet", "arguments": {"grid": cells, **arguments}},
        weights="weights.safetensors",
        labels=tuple(labels),
        input=InputSpec(**{**settings, **input_changes}),
        target_layer=network.default_target_layer,
    )
    return save_model(folder, spec, network.state_dict())


def make_explanation(
    peaks: dict[str, tuple[int, int, int]] | None = None,
    *,
    cell_mm: tuple[float, float, float] = (12.0, 20.0, 20.0),
    shape: tuple[int, int, int] = (7, 6, 8),
    guarantee: Guarantee | None = None,
) -> Explanation:
    """Make an explanation by hand: each label has one cell that speaks for it.

    The logit of label k is the sum of its HiResCAM map plus a bias of 0.5, so the guarantee can
    be verified; Grad-CAM maps are the HiResCAM ones read backwards, doubled.
    """
    peaks = peaks or {"nodule": (2, 1, 5), "mass": (4, 4, 2), "effusion": (6, 0, 0)}
    labels = tuple(peaks)
    maps = np.full((len(labels), *shape), -0.01, np.float32)
    for k, cell in enumerate(peaks.values()):
        maps[(k, *cell)] = 4.0 + k
    bias = np.full(len(labels), 0.5)
    logits = maps.sum(axis=(1, 2, 3), dtype=np.float64) + bias
    placed = np.diag([*cell_mm, 1.0])
    placed[:3, 3] = (-290.0, -70.0, -60.0)
    stretched = placed.copy()
    stretched[:3, 3] -= 10.0
    return Explanation(
        labels=labels,
        logits=logits,
        probabilities=1 / (1 + np.exp(-logits)),
        bias=bias,
        maps={"hirescam": maps, "gradcam": 2 * maps[:, ::-1, ::-1, ::-1].copy()},
        affines={"receptive_field": placed, "stretch": stretched},
        placement_note="",
        receptive_field_mm=(12.0, 60.0, 60.0),
        guarantee=guarantee or Guarantee(GuaranteeState.EXACT, "one linear layer reads it"),
        target_layer="conv2d.1",
        input_grid=Grid((24, 40, 40), np.eye(4)),
        provenance={"model": "by hand"},
    )


def open_ct(qtbot, widget, path) -> None:
    widget.ct.open_path(path)
    qtbot.waitUntil(lambda: not widget.ct.busy, timeout=10000)


def load_model(qtbot, widget, path) -> None:
    widget.model.load(path)
    qtbot.waitUntil(lambda: not widget.model.busy, timeout=20000)


def run(qtbot, widget) -> None:
    widget.run_panel.button.click()
    qtbot.waitUntil(lambda: widget.run_panel.job is None, timeout=20000)


def map_names(viewer) -> list[str]:
    shown = (
        layer
        for layer in viewer.layers
        if layer.visible and layer.metadata.get("napari_hirescam", {}).get("kind") == "map"
    )
    return [layer.name.split(" (")[0] for layer in shown]
