"""Plots of a review's report: how readers rated, how two of them match, how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.evaluation.page_plots import as_png, new_figure
from napari_hirescam.evaluation.plots import LIGHT
from napari_hirescam.review.agreement import Answers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: From the worst step to the best; told apart by people with colour-blindness too.
_STEPS = ("#b2182b", "#ef8a62", "#d9d9d9", "#67a9cf", "#2166ac")
_WIDTH = 8.2
_FEW = 0.04  # a bar narrower than this has no room for its count


def plot_ratings(counts: Mapping[str, Sequence[int]], captions: Sequence[str]) -> bytes:
    """Draw how often each reader gave each step, as shares of a bar.

    Parameters
    ----------
    counts
        Reader -> how often each step was given.
    captions
        Of the steps.
    """
    figure = new_figure(_WIDTH, 1.15 + 0.42 * len(counts))
    ax = figure.subplots()
    table = np.array(list(counts.values()), dtype=float)
    totals = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, totals, out=np.zeros_like(table), where=totals > 0)
    left = np.zeros(len(table))
    colours = _colours(len(captions))
    for step, caption in enumerate(captions):
        label = f"{step + 1} {caption}"
        ax.barh(range(len(table)), shares[:, step], left=left, color=colours[step], label=label)
        for row, share in enumerate(shares[:, step]):
            if share > _FEW:
                dark = step in (0, len(captions) - 1)
                ax.text(
                    left[row] + share / 2, row, f"{table[row, step]:.0f}",
                    ha="center", va="center", fontsize=8, color="white" if dark else LIGHT.ink,
                )  # fmt: skip
        left += shares[:, step]
    ax.set_yticks(range(len(table)), list(counts))
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of the reader's final ratings; numbers: items", fontsize=9)
    figure.legend(
        *ax.get_legend_handles_labels(), loc="outside upper center", ncols=len(captions),
        fontsize=8, frameon=False, handlelength=1.0, columnspacing=1.2,
    )  # fmt: skip
    _dress(ax)
    return as_png(figure)


@dataclass(frozen=True)
class Confusion:
    """Two readers' answers to one question.

    Parameters
    ----------
    title
        What was asked.
    first, second
        The readers: down, and along.
    answers
        [items, 2]; NaN where one gave none.
    captions
        Of the answers.
    """

    title: str
    first: str
    second: str
    answers: Answers
    captions: tuple[str, ...]


def plot_confusions(tables: Sequence[Confusion]) -> bytes:
    """Draw how often each answer of one reader met each of another, a square for each pair."""
    n_columns = min(3, max(2, len(tables)))
    n_rows = -(-len(tables) // n_columns)
    figure = new_figure(3.7 * n_columns, 3.6 * n_rows)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes[len(tables) :]:
        ax.set_axis_off()
    for ax, table in zip(axes, tables, strict=False):
        _draw_confusion(ax, table)
    return as_png(figure)


def _draw_confusion(ax: Axes, shown: Confusion) -> None:
    from matplotlib.patches import Rectangle

    size = len(shown.captions)
    both = shown.answers[np.isfinite(shown.answers).all(axis=1)].astype(int)
    table = np.zeros((size, size), dtype=int)
    np.add.at(table, (both[:, 0], both[:, 1]), 1)
    ax.imshow(table, cmap="Blues", vmin=0, vmax=max(1, table.max()))
    for row, column in np.argwhere(table):
        n = table[row, column]
        ax.text(
            column, row, str(n), ha="center", va="center", fontsize=9,
            color="white" if n > 0.55 * table.max() else LIGHT.ink,
        )  # fmt: skip
    for step in range(size):  # where both said the same
        corner = (step - 0.5, step - 0.5)
        ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=LIGHT.chance, lw=0.8))
    labels = [caption if size < 5 else str(k + 1) for k, caption in enumerate(shown.captions)]
    ax.set_xticks(range(size), labels, fontsize=8, rotation=30 if size == 4 else 0)
    ax.set_yticks(range(size), labels, fontsize=8)
    ax.set_title(shown.title, fontsize=9, loc="left")
    ax.set_xlabel(shown.second, fontsize=9)
    ax.set_ylabel(shown.first, fontsize=9)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_color(LIGHT.faint)


def plot_times(seconds: Mapping[str, Sequence[float]]) -> bytes:
    """Draw the time of every finished item, a line of points per reader with its median.

    Parameters
    ----------
    seconds
        Reader -> seconds of each item.
    """
    figure = new_figure(_WIDTH, 1.0 + 0.45 * len(seconds))
    ax = figure.subplots()
    rng = np.random.default_rng(0)  # of the points' heights alone
    for row, values in enumerate(seconds.values()):
        # A logarithmic axis has no place for nothing.
        points = np.maximum(np.asarray(values, dtype=float), 0.1)
        if points.size:
            lift = row + rng.uniform(-0.22, 0.22, points.size)
            ax.plot(points, lift, "o", ms=3, alpha=0.4, mew=0, color=LIGHT.strong)
            middle = float(np.median(points))
            ax.plot([middle] * 2, [row - 0.34, row + 0.34], color=LIGHT.claim, lw=2.2)
    _clock_axis(ax)
    ax.set_yticks(range(len(seconds)), list(seconds))
    ax.set_ylim(len(seconds) - 0.5, -0.5)
    ax.set_xlabel("seconds for an item; bar: median", fontsize=9)
    _dress(ax)
    return as_png(figure)


def _clock_axis(ax: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda value, _place: f"{value:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def _colours(n_steps: int) -> Sequence[Any]:
    if n_steps == len(_STEPS):
        return _STEPS
    from matplotlib.colors import LinearSegmentedColormap

    scale = LinearSegmentedColormap.from_list("steps", _STEPS)
    return [scale(at) for at in np.linspace(0, 1, n_steps)]


def _dress(ax: Axes) -> None:
    ax.tick_params(labelsize=9, length=0)
    ax.grid(axis="x", color=LIGHT.faint, lw=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(LIGHT.faint)
