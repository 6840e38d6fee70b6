"""Curves of the tests, drawn on a matplotlib figure that somebody else shows or saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.evaluation.randomisation_findings import RandomisationTest
from napari_hirescam.evaluation.removal_findings import OcclusionTest, RemovalTest
from napari_hirescam.volume import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_hirescam.evaluation.removal_curves import Scores

#: From this many inches on, panels stand side by side.
_WIDE = 6.5
#: Letters of a layer's name that fit under an axis.
_NAME_LENGTH = 18
#: More boxes than this are spread over a logarithmic axis.
_MANY = 20
_CLAIM = "as the map says"


@dataclass(frozen=True)
class Palette:
    """Colours of a plot; told apart by people with colour-blindness too.

    Parameters
    ----------
    paper, ink, faint
        Background, text and axes, grid lines.
    strong, chance, claim
        The map's order, random cells, what the map says.
    """

    paper: str = "#ffffff"
    ink: str = "#222222"
    faint: str = "#d5d5d5"
    strong: str = "#0b69b5"
    chance: str = "#7d7d7d"
    claim: str = "#d9730d"


#: For a dark window.
DARK = Palette("#23242b", "#f0f1f2", "#464a54", "#5cb1f5", "#a5a8b0", "#ffae57")
#: For paper.
LIGHT = Palette()


def draw(figure: Figure, finding: Any, palette: Palette = LIGHT) -> None:
    """Draw the curves of a finding, whatever its kind, in place of what the figure holds.

    Parameters
    ----------
    figure
        Its size decides between one column and several; `constrained` layout suits it.
    finding
        A :class:`RemovalTest`, :class:`OcclusionTest` or :class:`RandomisationTest`.
    palette
        Colours.

    Raises
    ------
    TypeError
        There is no plot for such a finding.
    """
    figure.clear()
    figure.set_facecolor(palette.paper)
    if isinstance(finding, RemovalTest):
        axes = _draw_removal(figure, finding, palette)
    elif isinstance(finding, OcclusionTest):
        axes = _draw_occlusion(figure, finding, palette)
    elif isinstance(finding, RandomisationTest):
        axes = _draw_randomisation(figure, finding, palette)
    else:
        raise TypeError(f"no plot is known for a {type(finding).__name__}")
    for ax in axes:
        _dress(ax, palette)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(labels),
        fontsize=7,
        labelcolor=palette.ink,
        frameon=False,
        columnspacing=1.2,
    )
    figure.suptitle(finding.subject.title, fontsize=9, color=palette.ink, wrap=True)


def _draw_removal(figure: Figure, finding: RemovalTest, palette: Palette) -> list[Axes]:
    curves = finding.curves
    wide = figure.get_figwidth() >= _WIDE
    grid = figure.subplots(2, 2 if wide else 1, squeeze=False, sharex=True)
    deletion, insertion = (grid[0, 0], grid[0, 1]) if wide else (grid[0, 0], grid[1, 0])
    counts = curves.counts
    _curves(deletion, counts, curves.deletion, curves.random_deletion, palette, "logits")
    deletion.plot(counts, curves.predicted_deletion, "--", color=palette.claim, label=_CLAIM)
    _curves(insertion, counts, curves.insertion, curves.random_insertion, palette, "logits")
    insertion.plot(counts, curves.predicted_insertion, "--", color=palette.claim, label=_CLAIM)
    deletion.set_title("Deletion: strongest cells set to zero")
    insertion.set_title("Insertion: strongest cells put back")
    deletion.set_ylabel("logit")
    insertion.set_ylabel("logit")
    lowest = [insertion]
    if wide:
        below = (
            (curves.deletion, curves.random_deletion),
            (
                curves.insertion,
                curves.random_insertion,
            ),
        )
        for ax, (scores, random) in zip(grid[1], below, strict=True):
            _curves(ax, counts, scores, random, palette, "probabilities")
            ax.set_ylim(-0.03, 1.03)
            ax.set_ylabel("probability")
        lowest = list(grid[1])
    for ax in grid.ravel():
        if curves.is_concentrated:
            _logarithmic(ax, curves.n_cells)
        else:
            ax.xaxis.get_major_locator().set_params(integer=True)  # no halves of cells
    what = ("removed", "put back") if wide else ("changed",)
    for ax, word in zip(lowest, what, strict=True):
        ax.set_xlabel(f"cells {word} (of {curves.n_cells})")
    return list(grid.ravel())


def _logarithmic(ax: Axes, largest: int) -> None:
    """Spread the first few cells over the axis; zero is on it too."""
    ax.set_xscale("symlog", linthresh=1)
    ticks = [0, *(10**power for power in range(len(str(largest))))]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_xlim(-0.2, 1.5 * largest)
    ax.minorticks_off()


def _draw_occlusion(figure: Figure, finding: OcclusionTest, palette: Palette) -> list[Axes]:
    curves = finding.curves
    wide = figure.get_figwidth() >= _WIDE
    grid = figure.subplots(1 if wide else 2, 2 if wide else 1, squeeze=False).ravel()
    for ax, name in zip(grid, ("logits", "probabilities"), strict=True):
        _curves(ax, curves.counts, curves.strongest, curves.random, palette, name)
        if curves.counts[-1] > _MANY:
            _logarithmic(ax, int(curves.counts[-1]))
        else:
            ax.xaxis.get_major_locator().set_params(integer=True)
    grid[0].set_ylabel("logit")
    grid[1].set_ylabel("probability")
    grid[1].set_ylim(-0.03, 1.03)
    grid[0].set_title("CT blanked out around the strongest cells")
    text = f"boxes blanked out (of {curves.n_inside} in the CT)"
    for ax in grid if wide else grid[1:]:
        ax.set_xlabel(text)
    return list(grid)


def _draw_randomisation(figure: Figure, finding: RandomisationTest, palette: Palette) -> list[Axes]:
    curves = finding.curves
    ax = figure.subplots()
    at = np.arange(len(curves.counts))
    ax.axhspan(-curves.by_chance, curves.by_chance, color=palette.chance, alpha=0.15, lw=0)
    ax.axhline(0, color=palette.chance, lw=0.8)
    for table, colour, name in (
        (curves.spearman, palette.strong, "signed map"),
        (curves.spearman_absolute, palette.claim, "without its sign"),
    ):
        low, middle, high = _band(table)
        ax.fill_between(at, low, high, color=colour, alpha=0.2, lw=0)
        ax.plot(at, middle, "o-", ms=3, color=colour, label=name)
    names = ["(trained)", *(_shortened(curves.layers[n - 1]) for n in curves.counts[1:])]
    ax.set_xticks(at, names, rotation=60, ha="right", rotation_mode="anchor")
    border = int(np.searchsorted(curves.counts, curves.above, side="right")) - 1
    if 0 < border < len(at) - 1:
        ax.axvline(border + 0.5, color=palette.ink, lw=0.8, ls=":")
        ax.annotate(
            "target layer", (border + 0.5, 1.04), ha="center", fontsize=7, color=palette.ink
        )
    ax.set_ylim(-1.05, 1.12)
    ax.set_ylabel("rank correlation with the map")
    ax.set_xlabel("weights randomised down to this layer")
    ax.set_title("Weights randomised, from the output down")
    return [ax]


def _curves(
    ax: Axes, x: Any, scores: Scores, random: Scores, palette: Palette, quantity: str
) -> None:
    """Draw a curve over the mean and the spread of the random ones."""
    by_chance = getattr(random, quantity)
    low, middle, high = _band(by_chance)
    ax.fill_between(x, low, high, color=palette.chance, alpha=0.25, lw=0)
    ax.plot(x, middle, color=palette.chance, lw=1.2, label=f"random ({len(by_chance)} orders)")
    ax.plot(
        x, getattr(scores, quantity), "o-", ms=2.5, color=palette.strong, label="strongest first"
    )


def _band(table: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Lowest, mean and highest of the runs at each point; NaN only where all are."""
    there = np.isfinite(table)
    count = there.sum(axis=0)
    empty = np.where(count == 0, np.nan, 0.0)
    low = np.where(there, table, np.inf).min(axis=0)
    high = np.where(there, table, -np.inf).max(axis=0)
    mean = np.where(there, table, 0.0).sum(axis=0) / np.maximum(count, 1)
    return np.where(count == 0, empty, low), mean + empty, np.where(count == 0, empty, high)


def _dress(ax: Axes, palette: Palette) -> None:
    ax.set_facecolor(palette.paper)
    ax.grid(visible=True, color=palette.faint, lw=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(colors=palette.ink, labelsize=7, length=2)
    for side, spine in ax.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(palette.faint)
    ax.title.set(color=palette.ink, fontsize=8)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(color=palette.ink, fontsize=8)


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"…{name[-_NAME_LENGTH + 1 :]}"
