"""Judge the sample model on chest phantoms it has never seen.

    python sample_data/evaluate_sample_model.py [--patients 40] [--json results.json]

For every finding: the area under the ROC curve, and how much of the positive attention lies in
the organ the finding belongs to, beside what chance would give.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from napari_hirescam.attention import Explanation, explain
from napari_hirescam.attention.result import PlacementName
from napari_hirescam.evaluation import chance_share, covered_fraction, share_inside
from napari_hirescam.models import Classifier, load_model
from napari_hirescam.phantom import Phantom, make_phantom

FOLDER = Path(__file__).resolve().parent / "phantom_axialnet"
TEST_SEEDS = range(20_000, 20_040)
METHODS = ("hirescam", "gradcam")
PLACEMENTS: tuple[PlacementName, ...] = ("receptive_field", "stretch")


@dataclass(frozen=True)
class LabelReport:
    """Figures of one label; shares are means over the phantoms that have the finding.

    Parameters
    ----------
    auroc
        Area under the ROC curve; NaN if all phantoms or none have the finding.
    present
        Phantoms with the finding.
    organ
        Where its attention belongs.
    inside
        Placement -> method -> share of positive attention inside the organ.
    on_finding
        Placement -> method -> share of positive attention on the finding itself.
    chance, chance_body
        Share inside the organ of an even map over all cells, and over those in the body
        (default placement).
    """

    auroc: float
    present: int
    organ: str
    inside: dict[str, dict[str, float]]
    on_finding: dict[str, dict[str, float]]
    chance: float
    chance_body: float


@dataclass(frozen=True)
class Report:
    """Figures of all labels over a number of phantoms."""

    patients: int
    labels: dict[str, LabelReport]
    largest_residual: float

    @property
    def auroc(self) -> dict[str, float]:
        """Label -> area under the ROC curve."""
        return {name: label.auroc for name, label in self.labels.items()}

    @property
    def mean_auroc(self) -> float:
        """Mean area under the ROC curve."""
        return float(np.nanmean(list(self.auroc.values())))

    def mean_inside(self, method: str, placement: PlacementName = "receptive_field") -> float:
        """Mean over labels of the share inside the organ."""
        shares = [label.inside[placement][method] for label in self.labels.values()]
        return float(np.nanmean(shares))

    def mean_chance(self, *, body: bool = False) -> float:
        """Mean over labels of the share an even map would have."""
        return float(
            np.nanmean([x.chance_body if body else x.chance for x in self.labels.values()])
        )


def evaluate(
    classifier: Classifier,
    seeds: Iterable[int],
    spacing_mm: tuple[float, float, float] | None = None,
) -> Report:
    """Score and explain one phantom per seed; by default at the model's own spacing."""
    spacing = spacing_mm or classifier.spec.input.spacing_mm or (2.5, 1.6, 1.6)
    truth, scores = [], []
    rows: dict[str, list[dict[str, float]]] = {label: [] for label in classifier.labels}
    residual = 0.0
    for seed in seeds:
        phantom = make_phantom(seed, spacing_mm=spacing)
        explanation = explain(phantom.volume, classifier, methods=METHODS)
        truth.append([label in phantom.findings for label in classifier.labels])
        scores.append(explanation.logits)
        for label in classifier.labels:
            residual = max(residual, abs(explanation.residual(label)))
            if label in phantom.findings:
                organ = classifier.spec.organs[label][0]
                rows[label].append(_shares(phantom, explanation, label, organ))
    reports = {}
    for k, label in enumerate(classifier.labels):
        present = np.array([row[k] for row in truth])
        mixed = 0 < present.sum() < len(present)
        logit = np.array([row[k] for row in scores])

        def mean(key: str, of: str = label) -> float:
            values = [row[key] for row in rows[of] if not np.isnan(row[key])]
            return float(np.mean(values)) if values else float("nan")

        reports[label] = LabelReport(
            auroc=float(roc_auc_score(present, logit)) if mixed else float("nan"),
            present=int(present.sum()),
            organ=classifier.spec.organs[label][0],
            inside={p: {m: mean(f"{p} {m} organ") for m in METHODS} for p in PLACEMENTS},
            on_finding={p: {m: mean(f"{p} {m} finding") for m in METHODS} for p in PLACEMENTS},
            chance=mean("chance"),
            chance_body=mean("chance in body"),
        )
    return Report(len(truth), reports, residual)


def _shares(phantom: Phantom, explanation: Explanation, label: str, organ: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    affine = phantom.volume.affine
    for placement in PLACEMENTS:
        cells = explanation.map(label, METHODS[0], placement).grid
        inside = covered_fraction(phantom.organs[organ], affine, cells)
        finding = covered_fraction(phantom.findings[label], affine, cells)
        for method in METHODS:
            values = explanation.map(label, method, placement).values
            shares[f"{placement} {method} organ"] = share_inside(values, inside)
            shares[f"{placement} {method} finding"] = share_inside(values, finding)
        if placement == "receptive_field":
            body = covered_fraction(phantom.organs["body"], affine, cells)
            shares["chance"] = chance_share(inside)
            shares["chance in body"] = chance_share(inside, body)
    return shares


def label_table(report: Report) -> Table:
    """Lay the figures out for the terminal."""
    table = Table(title=f"{report.patients} unseen phantoms; positive attention inside the organ")
    for heading in ("finding", "organ", "present", "AUROC", "HiResCAM", "Grad-CAM"):
        table.add_column(heading, justify="left" if heading in ("finding", "organ") else "right")
    table.add_column("chance", justify="right")
    table.add_column("chance in body", justify="right")
    for name, label in report.labels.items():
        shares = label.inside["receptive_field"]
        figures = (label.auroc, *shares.values(), label.chance, label.chance_body)
        table.add_row(name, label.organ, str(label.present), *(f"{x:.3f}" for x in figures))
    figures = (
        report.mean_auroc,
        *(report.mean_inside(method) for method in METHODS),
        report.mean_chance(),
        report.mean_chance(body=True),
    )
    table.add_row("mean", "", "", *(f"{x:.3f}" for x in figures), style="bold")
    stretched = ", ".join(f"{m} {report.mean_inside(m, 'stretch'):.3f}" for m in METHODS)
    table.caption = (
        f"Cells placed by their receptive fields; stretched over the input: {stretched}. "
        f"Largest |sum(HiResCAM) + bias - logit|: {report.largest_residual:.1e}"
    )
    return table


def main() -> None:
    """Evaluate and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", type=Path, default=FOLDER)
    options.add_argument("--patients", type=int, default=len(TEST_SEEDS), help="20 or more")
    options.add_argument("--first-seed", type=int, default=TEST_SEEDS[0])
    options.add_argument(
        "--spacing", type=float, nargs=3, metavar="MM", help="default: the model's own"
    )
    options.add_argument("--json", type=Path, help="write the figures here too")
    chosen = options.parse_args()
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.patients)
    spacing = tuple(chosen.spacing) if chosen.spacing else None
    report = evaluate(load_model(chosen.model, device="cpu"), seeds, spacing)
    Console(width=110).print(label_table(report))
    if chosen.json:
        chosen.json.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
