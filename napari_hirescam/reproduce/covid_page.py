"""The figures and the report page of ``reproduce covid``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from napari_hirescam.attention import METHODS as ALL_METHODS
from napari_hirescam.evaluation.discrimination import bootstrap_auroc
from napari_hirescam.evaluation.intervals import Estimate, bootstrap_mean, mean_of_defined
from napari_hirescam.evaluation.page import Figure, Page, Section, Table
from napari_hirescam.reproduce.covid import METHODS, Seen, SliceRow
from napari_hirescam.reproduce.overlays import Overlay, draw_rows
from napari_hirescam.volume import resample, scaling, translation

_GREY_HU = (-1000.0, 400.0)


@dataclass(frozen=True)
class Run:
    """One network on the patient left out.

    Parameters
    ----------
    patient, mask_weight, seed
        Which network.
    auroc
        Infected slices against the others of this patient.
    hirescam, gradcam
        Mean share of positive attention inside the lungs over infected slices; NaN if none of
        their maps has a positive cell.
    without_map
        Infected slices whose map has no positive cell, by method.
    chance, chance_in_body
        Of an even map over those slices.
    """

    patient: str
    mask_weight: float
    seed: int
    auroc: float
    hirescam: float
    gradcam: float
    without_map: dict[str, int]
    chance: float
    chance_in_body: float


@dataclass(frozen=True)
class Line:
    """All networks of one mask weight: means over patients, with intervals by patient.

    `auroc_change` and `share_change` are against the smallest weight, patient by patient.
    """

    mask_weight: float
    auroc: Estimate
    hirescam: Estimate
    gradcam: Estimate
    without_map: dict[str, int]
    chance: float
    chance_in_body: float
    auroc_change: Estimate
    share_change: Estimate


def runs_of(rows: Sequence[SliceRow]) -> list[Run]:
    """Sum up the slices of each network."""
    runs = []
    for patient, weight, seed in dict.fromkeys((r.patient, r.mask_weight, r.seed) for r in rows):
        own = [r for r in rows if (r.patient, r.mask_weight, r.seed) == (patient, weight, seed)]
        infected = [row for row in own if row.infected]
        shares = {
            method: np.array([getattr(row, method) for row in infected]) for method in METHODS
        }
        auroc = bootstrap_auroc(
            [row.infected for row in own],
            [row.logit for row in own],
            list(range(len(own))),
            n_replicates=1,
        )
        runs.append(
            Run(
                patient=patient,
                mask_weight=weight,
                seed=seed,
                auroc=auroc.value,
                **{method: mean_of_defined(values) for method, values in shares.items()},
                without_map={m: int(np.isnan(values).sum()) for m, values in shares.items()},
                chance=mean_of_defined([row.chance for row in infected]),
                chance_in_body=mean_of_defined([row.chance_in_body for row in infected]),
            )
        )
    return runs


def lines_of(runs: Sequence[Run], seed: int) -> list[Line]:
    """Sum up the networks of each mask weight."""
    weights = sorted({run.mask_weight for run in runs})
    return [_line(runs, weight, weights[0], seed) for weight in weights]


def _line(runs: Sequence[Run], weight: float, least: float, seed: int) -> Line:
    own = [run for run in runs if run.mask_weight == weight]
    first = {(run.patient, run.seed): run for run in runs if run.mask_weight == least}
    before = [first[run.patient, run.seed] for run in own]
    patients = [run.patient for run in own]

    def over_patients(values: list[float]) -> Estimate:
        return bootstrap_mean(values, patients, seed=seed)

    pairs = list(zip(own, before, strict=True))
    return Line(
        mask_weight=weight,
        auroc=over_patients([run.auroc for run in own]),
        hirescam=over_patients([run.hirescam for run in own]),
        gradcam=over_patients([run.gradcam for run in own]),
        without_map={m: sum(run.without_map[m] for run in own) for m in METHODS},
        chance=mean_of_defined([run.chance for run in own]),
        chance_in_body=mean_of_defined([run.chance_in_body for run in own]),
        auroc_change=over_patients([run.auroc - earlier.auroc for run, earlier in pairs]),
        share_change=over_patients([run.hirescam - earlier.hirescam for run, earlier in pairs]),
    )


def figures_of(rows: Sequence[SliceRow], seed: int) -> dict[str, Any]:
    """Everything that was measured, for ``figures.json``."""
    runs = runs_of(rows)
    return {
        "by_mask_weight": [asdict(line) for line in lines_of(runs, seed)],
        "runs": [asdict(run) for run in runs],
        "largest_residual": max(abs(row.residual) for row in rows),
    }


def pictures_of(rows: Sequence[SliceRow], seen: Sequence[Seen]) -> dict[str, bytes]:
    """Draw the trade, and one slice of each patient under the maps of the first seed."""
    pictures = {"trade": _draw_trade(runs_of(rows))}
    for item in seen:
        chest, index = item.chest, item.index
        aspect = chest.spacing_mm[1] / chest.spacing_mm[2]
        panels: dict[str, list[Overlay]] = {method: [] for method in METHODS}
        for (weight, method), heat in item.maps.items():
            panels[method].append(
                Overlay(
                    f"{ALL_METHODS[method].title}, lambda {weight:g}",
                    chest.hu[index],
                    _stretched(heat, chest.hu[index].shape),
                    (chest.lungs[index],),
                    aspect,
                    _GREY_HU,
                )
            )
        pictures[f"{chest.name} slice {index}"] = draw_rows(list(panels.values()))
    return pictures


def _stretched(heat: Any, shape: tuple[int, ...]) -> Any:
    """Sample a map of cells at the pixels of the slice over which they are stretched."""
    from napari_hirescam.volume import Grid

    factor = [pixels / cells for pixels, cells in zip(shape, heat.shape, strict=True)]
    affine = translation([0.0, *((f - 1) / 2 for f in factor)]) @ scaling([1.0, *factor])
    rows, columns = shape
    pixels = Grid((1, rows, columns), scaling((1.0, 1.0, 1.0)))
    # Clamped at the border: its pixels lie beyond the outermost cells' centres.
    padded = np.pad(heat, 1, mode="edge")[None]
    moved = affine @ translation((0.0, -1.0, -1.0))
    return resample(padded, moved, pixels, order=1, outside=0.0)[0]


def _draw_trade(runs: Sequence[Run]) -> bytes:
    from napari_hirescam.evaluation.page_plots import as_png, new_figure

    figure = new_figure(6.0, 3.6)
    axes = figure.subplots()
    weights = sorted({run.mask_weight for run in runs})
    for marker, patient in zip(
        "osD^vP*X", dict.fromkeys(run.patient for run in runs), strict=False
    ):
        own = [run for run in runs if run.patient == patient]
        drawn = axes.scatter(
            [run.hirescam for run in own],
            [run.auroc for run in own],
            c=[weights.index(run.mask_weight) for run in own],
            cmap="viridis",
            vmin=0,
            vmax=max(len(weights) - 1, 1),
            marker=marker,
            label=patient,
        )
    bar = figure.colorbar(drawn, ax=axes, ticks=range(len(weights)))
    bar.ax.set_yticklabels([f"{weight:g}" for weight in weights])
    bar.set_label("lambda")
    axes.set_xlabel("share of positive HiResCAM inside the lungs")
    axes.set_ylabel("AUROC, slices of the patient left out")
    axes.legend(fontsize=8)
    return as_png(figure)


def page_of(
    rows: Sequence[SliceRow],
    pictures: dict[str, bytes],
    facts: dict[str, str],
    guarantee: str,
    doubts: Sequence[str],
    seed: int,
) -> Page:
    """Lay out the report."""
    runs = runs_of(rows)
    lines = lines_of(runs, seed)
    n_patients = len({run.patient for run in runs})
    worst = max(abs(row.residual) for row in rows)
    about = (
        "Slices of one patient are held back, a network is trained on those of all others, and "
        "tested on it: infected slices against the rest. Share inside: of the positive attention "
        "of the infected slices, what lies inside the lungs. Chance is what an even map over the "
        "slice would score; over the body's cells alone it would score the stricter chance."
        f"\n\nThe guarantee: {guarantee}. Largest |sum(HiResCAM) + bias - logit|: {worst:.1e}."
        f"\n\nIntervals resample {n_patients} patients, with all their seeds: with so few they "
        "show little more than how much the patients differ, and are no basis for claims beyond "
        "them. The mask loss takes cells at the scale of the score (times their number)."
    )
    if doubts:
        about += "\n\nDoubts about the lungs: " + "; ".join(doubts) + "."
    sections = (
        Section("What the mask loss costs and buys", about, (_by_weight(lines),),
                (Figure(pictures["trade"], "Each point is one network: patient left out, seed."),)),
        Section("Each network", "", (_each(runs),)),
        Section(
            "Pictures",
            "An infected slice of each patient left out, by the networks of the first seed. Line: "
            "the lungs. Each map is drawn from 0 to its own maximum; where there is none, no cell "
            "is positive.",
            figures=tuple(Figure(png, name) for name, png in pictures.items() if name != "trade"),
        ),
    )  # fmt: skip
    return Page("The mask loss on real chest slices", _lead(lines, n_patients), facts, sections)


def _lead(lines: Sequence[Line], n_patients: int) -> str:
    said = "; ".join(
        f"lambda {line.mask_weight:g}: AUROC {line.auroc.value:.2f}, "
        f"{100 * line.hirescam.value:.0f} % inside the lungs"
        for line in lines
    )
    return f"Mean over {n_patients} patients left out in turn. {said}."


def _by_weight(lines: Sequence[Line]) -> Table:
    return Table(
        ("lambda", "networks", "AUROC", "95 % interval", "HiResCAM inside", "95 % interval ",
         "Grad-CAM inside", "chance", "chance in the body", "AUROC change", "95 % interval  ",
         "HiResCAM change", "95 % interval   ", "slices without map (HiResCAM, Grad-CAM)"),
        tuple(
            (f"{line.mask_weight:g}", line.auroc.n, line.auroc.value, line.auroc.interval,
             line.hirescam.value, line.hirescam.interval, line.gradcam.value, line.chance,
             line.chance_in_body, line.auroc_change.value, line.auroc_change.interval,
             line.share_change.value, line.share_change.interval,
             f"{line.without_map['hirescam']}, {line.without_map['gradcam']}")
            for line in lines
        ),
        "Means over networks; changes against the smallest lambda, same patient and seed.",
    )  # fmt: skip


def _each(runs: Sequence[Run]) -> Table:
    return Table(
        ("patient left out", "lambda", "seed", "AUROC", "HiResCAM inside", "Grad-CAM inside",
         "chance", "chance in the body"),
        tuple(
            (run.patient, f"{run.mask_weight:g}", run.seed, run.auroc, run.hirescam, run.gradcam,
             run.chance, run.chance_in_body)
            for run in runs
        ),
        "A dash: no infected slice has a map with a positive cell.",
    )  # fmt: skip
