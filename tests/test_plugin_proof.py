"""The words beside a map: what is proven of it, with the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from plugin_cases import make_explanation

from napari_hirescam.attention import Guarantee, GuaranteeState
from napari_hirescam.plugin.proof import largest_difference, proof_html, prove
from napari_hirescam.plugin.verdict import BROKEN, EXACT, IDENTICAL, LOCAL, NOT_PARTS, verdict_of

VERDICTS = (EXACT, IDENTICAL, LOCAL, NOT_PARTS, BROKEN)
SAME = Guarantee(GuaranteeState.IDENTICAL, "global average pooling", same_picture=True)
NONE = Guarantee(GuaranteeState.LOCAL, "a ReLU lies in between")


def test_an_exact_sum_is_told_with_its_numbers():
    explanation = make_explanation()
    proof = prove(explanation, "nodule", "hirescam")
    assert proof.verdict is EXACT
    assert f"logit = {explanation.logits[0]:.4f}" in proof.text
    assert "residual" in proof.text


def test_a_wrong_sum_is_not_called_exact_though_it_should_be():
    explanation = make_explanation()
    explanation.logits[0] += 1
    proof = prove(explanation, "nodule", "hirescam")
    assert proof.verdict is BROKEN
    assert "Do not trust" in proof.text


def test_grad_cam_on_an_exact_head_is_not_the_scores_own_parts():
    proof = prove(make_explanation(), "nodule", "gradcam")
    assert proof.verdict is NOT_PARTS
    assert "residual" not in proof.text


def test_where_both_methods_are_one_map_both_are_identical_by_construction():
    explanation = make_explanation(guarantee=SAME)
    explanation.maps["gradcam"] = explanation.maps["hirescam"]
    for method in ("hirescam", "gradcam"):
        proof = prove(explanation, "mass", method)
        assert proof.verdict is IDENTICAL
        assert "residual" in proof.text


def test_without_a_guarantee_the_reason_is_given_once():
    explanation = make_explanation(guarantee=NONE)
    explanation.bias[:] = np.nan
    assert prove(explanation, "mass", "hirescam").verdict is LOCAL
    text, _ = proof_html(explanation, "mass", ("hirescam", "gradcam"))
    assert text.count("A ReLU lies in between") == 1


@pytest.mark.parametrize(
    ("guarantee", "verdict"),
    [(Guarantee(GuaranteeState.EXACT, "linear"), EXACT), (SAME, IDENTICAL), (NONE, LOCAL)],
)
def test_each_state_has_its_words(guarantee, verdict):
    assert verdict_of(guarantee) is verdict


def test_no_two_verdicts_share_symbol_or_words_and_each_says_why():
    assert len({verdict.symbol for verdict in VERDICTS}) == len(VERDICTS)
    assert len({verdict.words for verdict in VERDICTS}) == len(VERDICTS)
    for verdict in VERDICTS:
        assert verdict.symbol in verdict.html()
        assert len(verdict.why) > 40


def test_each_shown_method_gets_its_line_its_why_and_an_empty_map_is_named():
    explanation = make_explanation()
    explanation.maps["hirescam"][0] = -1
    explanation.logits[0] = explanation.total("nodule") + explanation.bias[0]
    text, why = proof_html(explanation, "nodule", ("hirescam", "gradcam"))
    assert "HiResCAM: " in text
    assert "Grad-CAM: " in text
    assert text.count("No cell speaks for this label") == 1
    assert EXACT.why in why
    assert NOT_PARTS.why in why


def test_a_difference_tells_its_rule_its_size_and_what_both_methods_are():
    explanation = make_explanation()
    largest = largest_difference(explanation, "nodule", "hirescam", "gradcam")
    by_hand = np.abs(explanation.maps["hirescam"][0] - explanation.maps["gradcam"][0]).max()
    assert largest == pytest.approx(by_hand)
    text, _ = proof_html(explanation, "nodule", ("hirescam",), "gradcam")
    assert "HiResCAM \N{MINUS SIGN} Grad-CAM" in text
    # Drawn in full colour whatever its size: so its size beside the map's is told.
    share = largest / np.abs(explanation.maps["hirescam"][0]).max()
    assert f"{largest:.3g}, {share:.3g} times the largest cell of HiResCAM" in text
    assert EXACT.words in text
    assert "Not the score" in text


def test_a_small_difference_is_told_as_a_share():
    explanation = make_explanation()
    explanation.maps["gradcam"] = explanation.maps["hirescam"] * np.float32(0.98)
    text, _ = proof_html(explanation, "nodule", ("hirescam",), "gradcam")
    assert "2 % of the largest cell of HiResCAM" in text


def test_a_difference_of_rounding_is_called_none():
    explanation = make_explanation(guarantee=SAME)
    explanation.maps["gradcam"] = explanation.maps["hirescam"] * np.float32(1 + 1e-7)
    assert largest_difference(explanation, "nodule", "hirescam", "gradcam") == 0
    text, _ = proof_html(explanation, "nodule", ("hirescam",), "gradcam")
    assert "the two maps are the same" in text
