"""The lines that say whether a map's sum explains the score, and with what numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from napari_hirescam.attention.result import Explanation
from napari_hirescam.plugin.verdict import BROKEN, LOCAL, NOT_PARTS, Verdict, verdict_of

# Two maps that differ by less than this share of the larger one are the same but for rounding.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Proof:
    """What to say of one map.

    Parameters
    ----------
    verdict
        How far it can be trusted.
    text
        One or two short sentences with the numbers.
    """

    verdict: Verdict
    text: str


def prove(explanation: Explanation, label: str, method: str) -> Proof:
    """Compare the sum of a map with the score it explains."""
    guarantee = explanation.guarantee
    if not guarantee.holds:
        return Proof(LOCAL, _sentence(guarantee.reason))
    if not explanation.completes(method):
        equation = _equation(explanation, label, method, with_residual=False)
        return Proof(NOT_PARTS, f"{equation}.")
    equation = _equation(explanation, label, method, with_residual=True)
    if explanation.verified(label, method):
        return Proof(verdict_of(guarantee), f"{equation}.")
    return Proof(BROKEN, f"{equation}. Do not trust this map.")


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."


def _equation(explanation: Explanation, label: str, method: str, *, with_residual: bool) -> str:
    k = explanation.index(label)
    logit, bias = float(explanation.logits[k]), float(explanation.bias[k])
    if np.isnan(bias):
        return f"Sum of cells {explanation.total(label, method):.4f}, logit {logit:.4f}"
    total = explanation.total(label, method) + bias
    equation = f"Sum of cells + bias = {total:.4f}, logit = {logit:.4f}"
    residual = explanation.residual(label, method)
    return f"{equation}, residual {residual:.1e}" if with_residual else equation


def largest_difference(explanation: Explanation, label: str, method: str, minus: str) -> float:
    """Give the largest |A - B| of any cell; 0 where the two differ by rounding alone."""
    k = explanation.index(label)
    a, b = explanation.maps[method][k], explanation.maps[minus][k]
    largest = float(np.abs(a - b).max())
    size = max(float(np.abs(a).max()), float(np.abs(b).max()))
    return largest if largest > _ROUNDING * size else 0.0


def _share(explanation: Explanation, label: str, method: str, difference: float) -> str:
    """Compare a difference, which is drawn in full colour, with the map it is a difference to."""
    largest = float(np.abs(explanation.maps[method][explanation.index(label)]).max())
    if largest == 0:
        return "where all is zero in"
    if difference < largest:
        return f"{100 * difference / largest:.2g} % of"
    return f"{difference / largest:.3g} times"


def proof_html(
    explanation: Explanation, label: str, methods: Sequence[str], minus: str = ""
) -> tuple[str, str]:
    """Write one line for each shown method, and for the difference where one is shown.

    Returns
    -------
    The lines, and the tool tip that says what their words mean.
    """
    from napari_hirescam.attention import METHODS

    lines = [f"<b>{escape(label)}</b>"]
    tips: list[str] = []
    if minus:
        a, b = METHODS[methods[0]].title, METHODS[minus].title
        largest = largest_difference(explanation, label, methods[0], minus)
        # A minus sign rather than a hyphen: titles have hyphens of their own.
        told = (
            f"raw maps subtracted cell by cell, in units of the logit; largest difference "
            f"{largest:.3g}, {_share(explanation, label, methods[0], largest)} the largest "
            f"cell of {escape(a)}"
            if largest
            else "the two maps are the same; nothing is drawn"
        )
        lines.append(f"<b>{escape(a)} − {escape(b)}</b>: {told}.")  # noqa: RUF001
    told_once: set[str] = set()
    for method in (*methods, *([minus] if minus else [])):
        proof = prove(explanation, label, method)
        title = METHODS[method].title
        # The reason why nothing holds is the same for every method.
        if proof.text not in told_once:
            prefix = f"{escape(title)}: " if explanation.guarantee.holds else ""
            lines.append(f"{prefix}{proof.verdict.html()}. {escape(proof.text)}")
            tips.append(f"{title}: {proof.verdict.words}. {proof.verdict.why}")
        told_once.add(proof.text)
        if not minus and explanation.maps[method][explanation.index(label)].max() <= 0:
            lines.append("No cell speaks for this label; look at 'For and against'.")
    tips.append("It says how the picture came about, not that the model is right.")
    return "<br>".join(lines), "\n\n".join(tips)
