"""Plots of a cohort's report: scores, distributions, threshold curves, pictures of maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.attention import METHODS
from napari_hirescam.attention.colour_scales import positive_colours
from napari_hirescam.evaluation.cohort_case import MeasuredCase
from napari_hirescam.evaluation.gallery import Snapshot
from napari_hirescam.evaluation.organ_iou import THRESHOLDS
from napari_hirescam.evaluation.page_plots import as_png, new_figure
from napari_hirescam.evaluation.plots import LIGHT
from napari_hirescam.evaluation.thresholds import FrozenThresholds, Kind, mean_curve
from napari_hirescam.volume import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Told apart by people with colour-blindness too; the first two are those of the other plots.
_COLOURS = (LIGHT.strong, LIGHT.claim, "#2f8f4e", "#8a4fbf", "#7a5c2e", "#c03a76")
_WIDTH = 8.2
_ROW = 0.24  # inches of a label
_PICTURE = 2.75  # inches of a picture's width
#: Grey window of the pictures, HU: lungs and soft tissue both.
_WINDOW = (-1050.0, 350.0)
#: Share of a map's maximum where colour begins.
_COLOUR_FROM = 0.1


def colour_of(k: int) -> str:
    """Return the colour of the k-th method."""
    return _COLOURS[k % len(_COLOURS)]


def title_of(method: str) -> str:
    """Name a method as people do."""
    return METHODS[method].title if method in METHODS else method


def plot_scores(rows: Sequence[tuple[str, float, float, float]]) -> bytes:
    """Draw figures with their intervals, one line each.

    Parameters
    ----------
    rows
        Name, AUROC, low, high.
    """
    figure = new_figure(_WIDTH, 1.0 + _ROW * len(rows))
    ax = figure.subplots()
    at = np.arange(len(rows))
    values = np.array([row[1:] for row in rows], dtype=float).reshape(-1, 3)
    ax.axvline(0.5, color=LIGHT.chance, lw=0.9, ls="--")
    has_interval = np.isfinite(values).all(axis=1)
    ax.hlines(
        at[has_interval], values[has_interval, 1], values[has_interval, 2],
        color=colour_of(0), lw=2, alpha=0.5,
    )  # fmt: skip
    ax.plot(values[:, 0], at, "o", ms=4.5, color=colour_of(0))
    ax.set_yticks(at, [row[0] for row in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(min(0.45, float(np.nanmin(values, initial=0.5)) - 0.02), 1.01)
    ax.set_xlabel("AUROC with 95 % interval; dashed: chance", fontsize=9)
    _dress(ax)
    return as_png(figure)


def plot_distribution(
    cases: Sequence[MeasuredCase], labels: Sequence[str], methods: Sequence[str]
) -> bytes | None:
    """Draw OrganIoU (corrected) of every map of a present label; None if there is none."""
    values: dict[tuple[str, str], list[float]] = {}
    chances: dict[str, list[float]] = {}
    for case in cases:
        for row in case.rows:
            if row.present and np.isfinite(row.organ_iou):
                values.setdefault((row.label, row.method), []).append(row.organ_iou)
                chances.setdefault(row.label, []).append(row.chance_cells)
    shown = [label for label in labels if label in chances]
    if not shown:
        return None
    step = _ROW * max(1.0, 0.62 * len(methods))
    figure = new_figure(_WIDTH, 1.2 + step * len(shown))
    ax = figure.subplots()
    rng = np.random.default_rng(0)  # of the points' heights alone
    height = 0.8 / len(methods)
    for i, label in enumerate(shown):
        ax.vlines(np.mean(chances[label]), i - 0.42, i + 0.42, color=LIGHT.chance, lw=1, ls="--")
        for k, method in enumerate(methods):
            points = np.array(values.get((label, method), []))
            middle = i - 0.4 + height * (k + 0.5)
            if points.size:
                lift = middle + rng.uniform(-0.32, 0.32, points.size) * height
                ax.plot(points, lift, "o", ms=3, alpha=0.35, mew=0, color=colour_of(k))
                ax.plot([points.mean()] * 2, [middle - height * 0.42, middle + height * 0.42],
                        color=colour_of(k), lw=2.2)  # fmt: skip
    for k, method in enumerate(methods):
        ax.plot([], [], "o", ms=4, color=colour_of(k), label=f"{title_of(method)} (bar: mean)")
    ax.plot([], [], "--", color=LIGHT.chance, lw=1, label="chance")
    ax.set_yticks(np.arange(len(shown)), shown)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel("OrganIoU (corrected) at the frozen threshold; one point per scan", fontsize=9)
    _legend(figure, ax)
    _dress(ax)
    return as_png(figure)


def plot_thresholds(
    tuning: Sequence[MeasuredCase],
    thresholds: FrozenThresholds,
    labels: Sequence[str],
    methods: Sequence[str],
    kinds: Sequence[Kind] = ("corrected", "reference"),
) -> bytes | None:
    """Draw what the tuning saw: mean OrganIoU over the thresholds; None if there is nothing."""
    rows = [row for case in tuning for row in case.rows if row.present]
    curves = {
        (kind, method): mean_curve([r.curve(kind) for r in rows if r.method == method])
        for kind in kinds
        for method in methods
    }
    if not any(n for _curve, n in curves.values()):
        return None
    figure = new_figure(_WIDTH, 3.4)
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for ax, kind in zip(panels, kinds, strict=True):
        for k, method in enumerate(methods):
            for label in labels:
                _one_label(ax, rows, label, method, kind, thresholds, colour_of(k))
            curve, n = curves[kind, method]
            if n:
                ax.plot(THRESHOLDS, curve, color=colour_of(k), lw=2.2, label=title_of(method))
        ax.set_title(f"by the {kind} definition", fontsize=9)
        ax.set_xlabel("threshold (share of the map's maximum)", fontsize=9)
        ax.set_ylim(-0.02, 1.02)
        ax.set_xlim(0, 1)
        _dress(ax)
    figure.axes[0].set_ylabel("mean OrganIoU", fontsize=9)
    _legend(figure, figure.axes[0])
    return as_png(figure)


def _one_label(
    ax: Axes,
    rows: Sequence[Any],
    label: str,
    method: str,
    kind: Kind,
    thresholds: FrozenThresholds,
    colour: str,
) -> None:
    mine: list[FloatArray] = [r.curve(kind) for r in rows if (r.label, r.method) == (label, method)]
    curve, n = mean_curve(mine)
    if not n:
        return
    ax.plot(THRESHOLDS, curve, color=colour, lw=0.7, alpha=0.35)
    chosen = thresholds.of(label, method, kind)
    if chosen in THRESHOLDS:
        ax.plot(chosen, curve[THRESHOLDS.index(chosen)], "o", ms=3.5, color=colour, alpha=0.8)


def draw_snapshots(pictures: Sequence[Snapshot], methods: Sequence[str]) -> bytes:
    """Draw maps over the slice through their strongest cell, a row each.

    Left in the picture is the patient's right, as radiologists look at slices.
    """
    from matplotlib.colors import ListedColormap

    columns = 1 + len(methods)
    # As high as the slices are, with a line for the title.
    heights = [_PICTURE * p.hu.shape[0] / p.hu.shape[1] + 0.25 for p in pictures]
    figure = new_figure(_PICTURE * columns, sum(heights))
    axes = figure.subplots(len(pictures), columns, squeeze=False, height_ratios=heights)
    heat = ListedColormap(positive_colours(0, _COLOUR_FROM))
    for row, picture in zip(axes, pictures, strict=True):
        for k, ax in enumerate(row):
            ax.set_axis_off()
            ax.imshow(picture.hu, cmap="gray", vmin=_WINDOW[0], vmax=_WINDOW[1])
            if k:
                method = methods[k - 1]
                ax.imshow(picture.maps[method], cmap=heat, vmin=0, vmax=1)
                share = picture.shares[method]
                # A map without a positive cell has no share.
                told = "no positive cell" if math.isnan(share) else f"{share:.0%} inside"
                ax.set_title(f"{title_of(method)}: {told}", fontsize=8)
            else:
                title = _shortened(f"{picture.label}, {picture.case}")
                ax.set_title(f"{title}, p {picture.probability:.2f}", fontsize=8)
            _outline(ax, picture.organ, "#6fd3ff")
            if picture.lesion is not None:
                _outline(ax, picture.lesion, "#b7f06a")
    return as_png(figure)


def _outline(ax: Axes, mask: Any, colour: str) -> None:
    if mask.any() and not mask.all():
        ax.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=0.9)


def _shortened(name: str, n: int = 34) -> str:
    return name if len(name) <= n else f"{name[: n - 1]}\N{HORIZONTAL ELLIPSIS}"


def _legend(figure: Any, ax: Axes) -> None:
    handles, names = ax.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=len(names), fontsize=8, frameon=False
    )


def _dress(ax: Axes) -> None:
    ax.tick_params(labelsize=8, colors=LIGHT.ink, length=2)
    ax.grid(axis="x", color=LIGHT.faint, lw=0.6)
    ax.set_axisbelow(True)
    for name, spine in ax.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(LIGHT.faint)
