"""What randomising the weights found of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from napari_hirescam.evaluation.findings import MapFacts, Row, Table, subject_facts
from napari_hirescam.evaluation.randomisation import SAME_PLACES, Randomisation


@dataclass(frozen=True, eq=False)
class RandomisationTest:
    """A copy of the network forgot, layer by layer."""

    key: ClassVar[str] = "randomisation"
    subject: MapFacts
    curves: Randomisation

    def sentences(self) -> tuple[str, ...]:
        """Say what was found: the headline first."""
        curves = self.curves
        layers = len(curves.layers)
        every = "the one layer" if layers == 1 else f"all {layers} layers"
        end = _correlation(curves.ends_at)
        lines = []
        if curves.ignores_weights:
            lines.append(
                f"With the weights of {every} random, the map still correlates {end} with the "
                "original: the picture does not depend on what the network learned, and says "
                "nothing about it."
            )
        elif curves.follows_weights:
            lines.append(
                f"With the weights of {every} random, the map correlates {end} with the original: "
                "the picture depends on what the network learned."
            )
        else:
            lines.append(
                f"With the weights of {every} random, the map still correlates {end} with the "
                "original: much of the picture comes from the CT and the architecture, not from "
                "what the network learned."
            )
        if curves.follows_weights and curves.ends_at_absolute >= SAME_PLACES:
            lines.append(
                f"Without its sign it still correlates {_correlation(curves.ends_at_absolute)}: "
                "where attention is strong or weak comes from the CT and the architecture."
            )
        if not np.isfinite(curves.spearman).all():
            lines.append("Some maps of the random networks are the same everywhere.")
        runs = len(curves.spearman)
        lines.append(
            f"Rank correlation (Spearman) over {curves.n_cells} cells, "
            f"{'one run' if runs == 1 else f'mean of {runs} runs'}; unrelated maps of so many "
            f"independent cells stay below {curves.by_chance:.2f}."
        )
        return tuple(lines)

    def table(self) -> Table:
        """Each map of each run."""
        curves = self.curves
        rows: list[Row] = []
        for r in range(len(curves.spearman)):
            for j, count in enumerate(curves.counts.tolist()):
                rows.append(
                    (
                        r + 1,
                        count,
                        curves.layers[count - 1] if count else "",
                        "above" if 0 < count <= curves.above else "below" if count else "",
                        float(curves.spearman[r, j]),
                        float(curves.spearman_absolute[r, j]),
                        float(curves.pearson[r, j]),
                        float(curves.pearson_absolute[r, j]),
                    )
                )
        header = (
            "run",
            "random_layers",
            "last_random_layer",
            "side_of_target_layer",
            "spearman",
            "spearman_absolute",
            "pearson",
            "pearson_absolute",
        )
        return header, rows

    def facts(self) -> dict[str, Any]:
        """Everything but the curves, as plain JSON values."""
        curves = self.curves
        return {
            **subject_facts(self.subject),
            "test": "cascading randomisation of the weights",
            "n_cells": curves.n_cells,
            "layers_from_output_down": list(curves.layers),
            "layers_above_target_layer": curves.above,
            "runs": len(curves.spearman),
            "spearman_at_end": curves.ends_at,
            "spearman_absolute_at_end": curves.ends_at_absolute,
            "ignores_weights": curves.ignores_weights,
            "sentences": self.sentences(),
        }


def _correlation(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
