"""The line that says whether a map's sum explains the score, and with what numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from napari_hirescam.attention.result import Explanation
from napari_hirescam.plugin.model_facts import DOUBT_COLOUR, GOOD_COLOUR


@dataclass(frozen=True)
class Proof:
    """What to say of one map.

    Parameters
    ----------
    verified
        True if the sum was checked to be the score; False if it was not, or need not be.
    text
        One or two short sentences.
    """

    verified: bool
    text: str


def prove(explanation: Explanation, label: str, method: str) -> Proof:
    """Compare the sum of a map with the score it explains."""
    from napari_hirescam.attention import METHODS

    guarantee = explanation.guarantee
    exact_method = explanation.completes(method)
    if not guarantee.holds:
        return Proof(False, f"Not guaranteed that the map sums to the score: {guarantee.reason}")
    equation = _equation(explanation, label, method, with_residual=exact_method)
    if not exact_method:
        title = METHODS[method].title
        return Proof(False, f"{equation}. The sum of a {title} map is not the score.")
    if explanation.verified(label, method):
        twin = " Both methods give the same map here." if guarantee.same_picture else ""
        return Proof(True, f"{equation}: verified.{twin}")
    return Proof(False, f"{equation}: the sum should be the score, but is not. Do not trust it.")


def _equation(explanation: Explanation, label: str, method: str, *, with_residual: bool) -> str:
    k = explanation.index(label)
    logit, bias = float(explanation.logits[k]), float(explanation.bias[k])
    if np.isnan(bias):
        return f"sum(map) = {explanation.total(label, method):.4f}, logit = {logit:.4f}"
    total = explanation.total(label, method) + bias
    residual = explanation.residual(label, method)
    equation = f"sum(map) + bias = {total:.4f}, logit = {logit:.4f}"
    return f"{equation}, residual {residual:.1e}" if with_residual else equation


def proof_html(explanation: Explanation, label: str, methods: Sequence[str]) -> str:
    """Write one line for each shown method: a green tick where it is verified."""
    from napari_hirescam.attention import METHODS

    lines = [f"<b>{escape(label)}</b>"]
    for method in methods:
        proof = prove(explanation, label, method)
        colour, sign = (GOOD_COLOUR, "✔") if proof.verified else (DOUBT_COLOUR, "⚠")
        title = f"{METHODS[method].title}: " if len(methods) > 1 else ""
        lines.append(f'<span style="color:{colour}">{sign}</span> {title}{escape(proof.text)}')
        if explanation.maps[method][explanation.index(label)].max() <= 0:
            lines.append("No cell speaks for this label; look at 'For and against'.")
    return "<br>".join(lines)
