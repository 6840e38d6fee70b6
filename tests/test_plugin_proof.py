"""The sentence beside a map: verified only where it was checked."""

from __future__ import annotations

import numpy as np
from plugin_cases import make_explanation

from napari_hirescam.attention import Guarantee, GuaranteeState
from napari_hirescam.plugin.proof import proof_html, prove


def test_an_exact_sum_is_verified_with_its_numbers():
    explanation = make_explanation()
    proof = prove(explanation, "nodule", "hirescam")
    assert proof.verified
    assert f"logit = {explanation.logits[0]:.4f}" in proof.text
    assert "residual" in proof.text
    assert "verified" in proof.text


def test_a_wrong_sum_is_not_verified_though_it_should_hold():
    explanation = make_explanation()
    explanation.logits[0] += 1
    proof = prove(explanation, "nodule", "hirescam")
    assert not proof.verified
    assert "Do not trust" in proof.text


def test_grad_cam_is_said_not_to_sum_to_the_score():
    proof = prove(make_explanation(), "nodule", "gradcam")
    assert not proof.verified
    assert "Grad-CAM map is not the score" in proof.text


def test_grad_cam_is_verified_where_it_is_the_same_picture():
    same = Guarantee(GuaranteeState.EXACT, "global average pooling", same_picture=True)
    explanation = make_explanation(guarantee=same)
    explanation.maps["gradcam"] = explanation.maps["hirescam"]
    proof = prove(explanation, "mass", "gradcam")
    assert proof.verified
    assert "same map" in proof.text


def test_without_a_guarantee_the_reason_is_given():
    none = Guarantee(GuaranteeState.LOCAL, "a ReLU lies in between")
    explanation = make_explanation(guarantee=none)
    explanation.bias[:] = np.nan
    proof = prove(explanation, "mass", "hirescam")
    assert not proof.verified
    assert "a ReLU lies in between" in proof.text


def test_each_shown_method_gets_its_line_and_an_empty_map_is_named():
    explanation = make_explanation()
    explanation.maps["hirescam"][0] = -1
    text = proof_html(explanation, "nodule", ("hirescam", "gradcam"))
    assert "HiResCAM: " in text
    assert "Grad-CAM: " in text
    assert text.count("No cell speaks for this label") == 1
