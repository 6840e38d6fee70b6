"""The report page of the phantom experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_hirescam.evaluation.cohort_plots import title_of
from napari_hirescam.evaluation.intervals import Estimate
from napari_hirescam.evaluation.page import Figure, Page, Section, Table
from napari_hirescam.evaluation.page_plots import as_png, new_figure
from napari_hirescam.reproduce.phantom import (
    CONFOUNDED,
    METHODS,
    NETWORKS,
    TEST_SETS,
    UNCONFOUNDED,
    WITH,
    WITHOUT,
    Outcome,
)
from napari_hirescam.reproduce.phantom_cohort import CUES, cue_agreement
from napari_hirescam.reproduce.phantom_figures import Figures, SeedMean

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORDS = {
    "organ_iou": "OrganIoU, corrected",
    "organ_iou_silent_0": "the same, 0 for a map without a positive cell",
    "organ_iou_reference": "OrganIoU, as in the reference",
    "share_inside": "share of positive attention inside the organ",
    "hit": "strongest cell inside the organ",
    "lesion_share": "share of positive attention on the finding itself",
    "silent": "share of maps without a positive cell",
}
#: The bar that the project set itself, after the abstract of arXiv 2011.08891v2.
BAR = 0.37


def make_page(outcome: Outcome, figures: Figures, facts: Mapping[str, str]) -> Page:
    """Write up an experiment.

    Parameters
    ----------
    outcome, figures
        What was measured.
    facts
        Command, date, seeds, software.
    """
    return Page(
        "Confounded phantoms: attention with and without the mask loss",
        lead(figures),
        {**facts, **_facts(outcome)},
        (
            Section(
                "Attention in the organs",
                "OrganIoU is the share of a map's cells above its threshold that lie in the organ "
                "of the finding. Thresholds are tuned for each label, network and method on the "
                "confounded validation patients. The corrected definition gives 1 where nothing "
                "leaks out of the organ; the reference's code gives 0 there.",
                tuple(_four_way(figures, outcome, part) for part in TEST_SETS),
                (Figure(_dots(figures), "Each dot is a seed; the bar is their mean."),),
            ),
            *_pictures(outcome),
            Section("Scores", _WHY_TWO_SETS, (_scores(figures), _gains(figures))),
            Section(
                "Label by label",
                "",
                tuple(_by_label(figures, outcome, part) for part in TEST_SETS),
            ),
            Section("The patients", _COHORT, (_cues(outcome),)),
            Section("The trainings", _why_lambda(outcome), (_trainings(outcome),)),
        ),
    )


_WHY_TWO_SETS = (
    "In the confounded test patients the cue tells of the finding as it did in training, so that "
    "a network that looks for the cue scores well. In the unconfounded ones it tells nothing: "
    "what is left is what the network has learned of the finding."
)
_COHORT = (
    "Chest phantoms. Each finding has a cue of its own, a thing outside lungs and heart; in the "
    "confounded patients (training, validation, first test set) the two are present or absent "
    "together in nearly all. In the second test set the cue is as frequent, but drawn by itself."
)


def _why_lambda(outcome: Outcome) -> str:
    preset = outcome.preset
    cells = int(preset.network["grid"]) ** 2
    steps = preset.epochs * (preset.train // preset.batch_size)
    return (
        "The mask loss is a mean over all cells. Against the loss of the labels it pulls on one "
        f"cell as lambda over the cells of an image: {preset.mask_weight:.3g} / {cells} = "
        f"{preset.mask_weight / cells:.2g} here, 1/3 / 36 = 0.0093 in the paper. The paper takes "
        f"25,355 steps an epoch, this experiment {steps} in all, so that the paper's pull would "
        "not come to anything."
    )


def _pictures(outcome: Outcome) -> tuple[Section, ...]:
    if not outcome.shown:
        return ()
    caption = (
        "Seen from the front: the brightest voxel and the strongest attention along each line. "
        "The line goes around the organ of the finding. Each map has its own scale, from 0 to "
        f"its maximum; networks of seed {outcome.seeds[0]}, the first confounded test patient "
        "with finding and cue."
    )
    return (Section("Where they look", "", (), (Figure(outcome.picture, caption),)),)


def lead(figures: Figures) -> str:
    """Say the result in three sentences."""
    gain, cost = figures.gain, figures.cost
    before, after = (
        figures.maps["organ_iou", CONFOUNDED, name, "hirescam"].mean.value for name in NETWORKS
    )
    reached = "reaches" if gain.value >= BAR else "misses"
    scores = [figures.auroc[UNCONFOUNDED, name, ""].mean.value for name in NETWORKS]
    held = "no worse" if cost.value >= 0 else "worse"
    if cost.value < 0 < cost.high:
        held = "lower, by no more than chance would do"
    return _failures(figures) + (
        f"The mask loss takes the mean OrganIoU (corrected) under HiResCAM from {before:.3f} to "
        f"{after:.3f}, {_percent(gain)}; this {reached} the bar of {BAR:+.0%}. {_silence(figures)}"
        "The mean AUROC on the unconfounded patients goes from "
        f"{scores[0]:.3f} to {scores[1]:.3f} ({_difference(cost)}): {held}. In brackets 95 % "
        "intervals."
    )


def _failures(figures: Figures) -> str:
    """Say which trainings failed: a network that learned nothing is easily beaten."""
    if not figures.failures:
        return ""
    each = "; ".join(f"seed {seed} ({words})" for seed, words in figures.failures.items())
    what = "no other seed is left, so that the figures mean nothing"
    if figures.n_counted:
        what = f"both networks of such a seed are left out, and {figures.n_counted} counted"
    return f"A network learned nothing in {each}; {what}. "


def _silence(figures: Figures) -> str:
    """Say how many maps the gain leaves out, and what they would make of it."""
    without, with_it = (
        figures.maps["silent", CONFOUNDED, name, "hirescam"].mean.value for name in NETWORKS
    )
    if without == with_it == 0:
        return ""
    strict = figures.gains["organ_iou_silent_0", CONFOUNDED, "hirescam"]
    return (
        f"Maps without a positive cell ({with_it:.0%} with the mask loss, {without:.0%} without "
        f"it) have no OrganIoU; taken as 0, the gain is {_percent(strict)}. "
    )


def _facts(outcome: Outcome) -> dict[str, str]:
    preset = outcome.preset
    first = outcome.results[WITH, CONFOUNDED][0].facts
    size = " x ".join(map(str, preset.shape))
    return {
        "Patients": f"{preset.train} to train, {preset.valid} to validate, {preset.test} in each "
        "test set; the same for all networks",
        "Agreement of finding and cue": f"{preset.agreement:.0%}",
        "Networks": f"AxialNet {dict(preset.network)}, input {size} voxels of "
        f"{' x '.join(f'{mm:g}' for mm in preset.spacing_mm)} mm",
        "Trainings": f"{preset.epochs} epochs, batches of {preset.batch_size}, AdamW at "
        f"{preset.learning_rate:g}; lambda 0 or {preset.mask_weight:.3g}; the epoch of the lowest "
        "validation loss is kept",
        **{name: first[name] for name in ("Cells", "Guarantee") if name in first},
    }


def _four_way(figures: Figures, outcome: Outcome, part: str) -> Table:
    rows: list[tuple[str | int | float, ...]] = []
    for measure, words in _WORDS.items():
        for name in NETWORKS:
            cells = [figures.maps[measure, part, name, method] for method in METHODS]
            rows.append((words, name, *map(_cell, cells), cells[0].chance))
    n = figures.maps["organ_iou", part, WITHOUT, METHODS[0]].mean.n
    return Table(
        ("measure", "network", *map(title_of, METHODS), "chance"),
        tuple(rows),
        f"{part.capitalize()} test patients: means over {n} pairs of a patient and a present "
        f"finding and over {len(cells[0].seeds)} seed(s) \N{PLUS-MINUS SIGN} the standard "
        "deviation over seeds; in brackets 95 % intervals by drawing patients "
        f"{outcome.preset.n_replicates} times.",
    )


def _scores(figures: Figures) -> Table:
    rows = [
        (part, name, _cell(figures.auroc[part, name, ""]))
        for part in TEST_SETS
        for name in NETWORKS
    ]
    return Table(("test patients", "network", "mean AUROC"), tuple(rows), "Mean over the labels.")


def _gains(figures: Figures) -> Table:
    rows: list[tuple[str | int | float, ...]] = [
        (_WORDS[measure], part, *(_percent(figures.gains[measure, part, m]) for m in METHODS))
        for measure in _WORDS
        for part in TEST_SETS
    ]
    rows += [
        ("mean AUROC (difference)", part, _difference(figures.auroc_gain[part]), "")
        for part in TEST_SETS
    ]
    return Table(
        ("gain by the mask loss", "test patients", *map(title_of, METHODS)),
        tuple(rows),
        "Relative to the same network without it; paired: the same patients are drawn for both.",
    )


def _by_label(figures: Figures, outcome: Outcome, part: str) -> Table:
    labels = outcome.cohorts.confounded.labels
    rows: list[tuple[str | int | float, ...]] = [
        (
            label,
            *(figures.labels["organ_iou", part, n, "hirescam", label].mean.value for n in NETWORKS),
            *(figures.auroc[part, n, label].mean.value for n in NETWORKS),
        )
        for label in labels
    ]
    header = ("finding", *(f"{w}, {n}" for w in ("OrganIoU", "AUROC") for n in NETWORKS))
    return Table(header, tuple(rows), f"{part.capitalize()} test patients; HiResCAM, corrected.")


def _cues(outcome: Outcome) -> Table:
    from napari_hirescam.phantom import FINDING_ORGAN

    labels = outcome.cohorts.confounded.labels
    columns = [
        cue_agreement(outcome.cohorts.confounded.of(split)) for split in ("train", "valid", "test")
    ]
    columns.append(cue_agreement(outcome.cohorts.unconfounded))
    rows: list[tuple[str | int | float, ...]] = [
        (label, FINDING_ORGAN[label], CUES[label], *(float(column[k]) for column in columns))
        for k, label in enumerate(labels)
    ]
    return Table(
        ("finding", "organ", "cue", "train", "valid", "test, confounded", "test, unconfounded"),
        tuple(rows),
        "Share of patients in whom finding and cue are both there or both not.",
    )


def _trainings(outcome: Outcome) -> Table:
    columns = {
        "training loss of the labels": "train_class_loss",
        "validation loss of the labels": "valid_class_loss",
        "validation mask loss": "valid_mask_loss",
        "validation AUROC": "valid_auroc",
    }
    rows: list[tuple[str | int | float, ...]] = []
    for name, histories in outcome.histories.items():
        for seed, history in zip(outcome.seeds, histories, strict=True):
            kept = [record for record in history if record.is_best][-1]
            figures = [kept.figures.get(key, float("nan")) for key in columns.values()]
            rows.append((name, seed, kept.epoch + 1, *figures))
    return Table(
        ("network", "seed", "kept epoch", *columns),
        tuple(rows),
        "The mask loss is not multiplied by lambda.",
    )


def _dots(figures: Figures) -> bytes:
    canvas = new_figure(7.5, 3.2)
    panels: Sequence[tuple[str, Callable[[str, str], SeedMean]]] = (
        ("OrganIoU (corrected), HiResCAM",
         lambda part, name: figures.maps["organ_iou", part, name, "hirescam"]),
        ("mean AUROC", lambda part, name: figures.auroc[part, name, ""]),
    )  # fmt: skip
    for k, (title, value) in enumerate(panels):
        axes = canvas.add_subplot(1, 2, k + 1)
        for place, (part, name) in enumerate((p, n) for p in TEST_SETS for n in NETWORKS):
            found = value(part, name)
            colour = "#0b6e99" if name == WITH else "#9a9a9a"
            axes.bar(place, found.mean.value, width=0.6, color=colour, alpha=0.45)
            spots = place + np.linspace(-0.12, 0.12, len(found.seeds))
            axes.plot(spots, found.seeds, "o", color=colour, markersize=5)
        axes.set_xticks(range(4), [f"{n}\n{p}" for p in TEST_SETS for n in NETWORKS], fontsize=7)
        axes.set_ylim(0, 1)
        axes.set_title(title, fontsize=9)
    return as_png(canvas)


def _cell(found: SeedMean) -> str:
    mean = found.mean
    if not np.isfinite(mean.value):
        return "\N{EN DASH}"
    spread = f" \N{PLUS-MINUS SIGN} {found.spread:.3f}" if len(found.seeds) > 1 else ""
    return f"{mean.value:.3f}{spread}{_bracket(mean, '.3f')}"


def _percent(found: Estimate) -> str:
    if not np.isfinite(found.value):
        return "\N{EN DASH}"
    return f"{found.value:+.0%}{_bracket(found, '+.0%')}"


def _difference(found: Estimate) -> str:
    return f"{found.value:+.3f}{_bracket(found, '+.3f')}"


def _bracket(found: Estimate, digits: str) -> str:
    if not np.isfinite(found.low):
        return ""
    return f" [{format(found.low, digits)}, {format(found.high, digits)}]"
