"""The mask loss: its values by hand, by brute force and by finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hirescam.training.mask_loss import mask_loss

LN2 = math.log(2)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def maps(*labels: list[float]) -> torch.Tensor:
    """One CT, a row of cells for each label: [1, K, 1, 1, cells]."""
    return torch.tensor(labels, dtype=torch.float64)[None, :, None, None, :]


def cells(*labels: list[int]) -> torch.Tensor:
    return torch.tensor(labels, dtype=torch.bool)[None, :, None, None, :]


class TestByHand:
    def test_a_network_without_any_attention_pays_ln_2(self) -> None:
        loss = mask_loss(torch.zeros(1, 3, 4, 6, 6), torch.zeros(1, 3, 4, 6, 6, dtype=torch.bool))
        assert float(loss) == pytest.approx(LN2)

    def test_forbidden_cells_of_all_labels_are_pooled(self) -> None:
        # Label 0 may use the first cell; label 1 is absent and may use none.
        attention = maps([5.0, 1.0, -1.0], [2.0, 0.0, 0.0])
        loss = mask_loss(attention, cells([1, 0, 0], [0, 0, 0]))
        five = softplus(1) + softplus(-1) + softplus(2) + 2 * LN2
        assert float(loss) == pytest.approx(five / 5)

    def test_or_each_label_has_a_mean_of_its_own(self) -> None:
        attention = maps([5.0, 1.0, -1.0], [2.0, 0.0, 0.0], [9.0, 9.0, 9.0])
        allowed = cells([1, 0, 0], [0, 0, 0], [1, 1, 1])
        loss = mask_loss(attention, allowed, over="labels")
        first = (softplus(1) + softplus(-1)) / 2
        second = (softplus(2) + 2 * LN2) / 3
        # The third has no forbidden cell, and so no mean to count.
        assert float(loss) == pytest.approx((first + second) / 2)

    def test_the_variant_is_the_length_of_the_forbidden_attention(self) -> None:
        attention = maps([7.0, 3.0, -4.0], [0.0, 12.0, 0.0])
        loss = mask_loss(attention, cells([1, 0, 0], [0, 0, 0]), penalty="l2")
        assert float(loss) == pytest.approx(13.0)

    def test_attention_against_a_label_costs_next_to_nothing(self) -> None:
        forbidden = cells([0, 0])
        assert float(mask_loss(maps([-20.0, -20.0]), forbidden)) == pytest.approx(0, abs=1e-8)
        assert float(mask_loss(maps([20.0, 20.0]), forbidden)) == pytest.approx(20)

    def test_inside_nothing_is_asked(self) -> None:
        attention = maps([1.0, 2.0, 3.0]).requires_grad_()
        mask_loss(attention, cells([1, 0, 1])).backward()
        slope = 1 / (1 + math.exp(-2))
        assert attention.grad.ravel().tolist() == pytest.approx([0, slope, 0])

    def test_unknown_labels_do_not_count(self) -> None:
        attention = maps([1.0, 1.0], [50.0, 50.0]).requires_grad_()
        known = torch.tensor([[True, False]])
        loss = mask_loss(attention, cells([0, 0], [0, 0]), known)
        loss.backward()
        assert loss.item() == pytest.approx(softplus(1))
        assert attention.grad[0, 1].abs().max() == 0

    def test_a_batch_is_the_mean_of_its_cts(self) -> None:
        """Whether CTs come together or one after another must not matter."""
        draw = torch.Generator().manual_seed(0)
        attention = torch.randn(3, 2, 2, 3, 3, generator=draw, dtype=torch.float64)
        # One CT may use nearly everything: its few forbidden cells weigh as much as another's many.
        allowed = torch.rand(3, 2, 2, 3, 3, generator=draw) < torch.tensor(
            [0.0, 0.5, 0.95]
        ).reshape(3, 1, 1, 1, 1)
        for penalty in ("softplus", "l2"):
            single = [
                float(mask_loss(attention[k : k + 1], allowed[k : k + 1], penalty=penalty))
                for k in range(3)
            ]
            together = float(mask_loss(attention, allowed, penalty=penalty))
            assert together == pytest.approx(np.mean(single))

    def test_it_is_the_cross_entropy_of_the_paper(self) -> None:
        """BCE with the forbidden attention as logits and zeros as targets, over 80 labels."""
        draw = torch.Generator().manual_seed(1)
        attention = torch.randn(1, 80, 9, 6, 6, generator=draw, dtype=torch.float64)
        allowed = torch.rand(1, 80, 9, 6, 6, generator=draw) < 0.3
        forbidden = attention[~allowed]
        expected = torch.nn.functional.binary_cross_entropy_with_logits(
            forbidden, torch.zeros_like(forbidden)
        )
        assert float(mask_loss(attention, allowed)) == pytest.approx(float(expected), rel=1e-12)


class TestAtTheEdge:
    @pytest.mark.parametrize("penalty", ["softplus", "l2"])
    @pytest.mark.parametrize("over", ["cells", "labels"])
    def test_nothing_forbidden_costs_nothing_and_pulls_nowhere(self, penalty, over) -> None:
        attention = maps([1.0, 2.0]).requires_grad_()
        loss = mask_loss(attention, cells([1, 1]), penalty=penalty, over=over)
        loss.backward()
        assert loss.item() == 0
        assert attention.grad.ravel().tolist() == [0, 0]

    @pytest.mark.parametrize("penalty", ["softplus", "l2"])
    def test_attention_of_zero_has_a_gradient_that_is_a_number(self, penalty) -> None:
        attention = maps([0.0, 0.0]).requires_grad_()
        mask_loss(attention, cells([0, 0]), penalty=penalty).backward()
        assert torch.isfinite(attention.grad).all()

    @pytest.mark.parametrize("penalty", ["softplus", "l2"])
    def test_an_infinity_inside_has_no_say(self, penalty) -> None:
        attention = maps([math.inf, 1.0]).requires_grad_()
        loss = mask_loss(attention, cells([1, 0]), penalty=penalty)
        loss.backward()
        assert math.isfinite(loss.item())
        assert torch.isfinite(attention.grad).all()

    @pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
    def test_half_precision_does_not_overflow(self, kind) -> None:
        """388,800 cells at the paper's size add up to more than half precision can hold."""
        shape = (1, 80, 135, 6, 6)
        attention = torch.full(shape, 1.0, dtype=kind)
        loss = mask_loss(attention, torch.zeros(shape, dtype=torch.bool))
        assert float(loss) == pytest.approx(softplus(1), rel=1e-5)
        length = mask_loss(attention, torch.zeros(shape, dtype=torch.bool), penalty="l2")
        assert float(length) == pytest.approx(math.sqrt(388_800), rel=1e-5)

    @pytest.mark.parametrize(
        ("attention", "allowed", "known"),
        [
            (torch.zeros(2, 3, 3, 3), torch.zeros(2, 3, 3, 3, dtype=torch.bool), None),
            (torch.zeros(1, 2, 1, 1, 3), torch.zeros(1, 2, 1, 1, 4, dtype=torch.bool), None),
            (torch.zeros(1, 2, 1, 1, 3), torch.zeros(1, 2, 1, 1, 3), None),
            (
                torch.zeros(1, 2, 1, 1, 3),
                torch.zeros(1, 2, 1, 1, 3, dtype=torch.bool),
                torch.ones(1, 3, dtype=torch.bool),
            ),
        ],
        ids=["no batch", "other cells", "numbers for a mask", "other labels"],
    )
    def test_what_does_not_fit_together_is_refused(self, attention, allowed, known) -> None:
        with pytest.raises(ValueError, match=r"must|bool"):
            mask_loss(attention, allowed, known)

    @pytest.mark.parametrize("word", ["penalty", "over"])
    def test_unknown_words_are_refused(self, word) -> None:
        with pytest.raises(ValueError, match="unknown"):
            mask_loss(maps([1.0]), cells([0]), **{word: "softmax"})


def brute_force(
    attention: np.ndarray, allowed: np.ndarray, known: np.ndarray, penalty: str, over: str
) -> float:
    """The same, cell by cell."""
    per_ct = []
    for maps_, regions, counts in zip(attention, allowed, known, strict=True):
        groups: list[list[float]] = [[]]
        for values, region, counted in zip(maps_, regions, counts, strict=True):
            if over == "labels":
                groups.append([])
            for place in np.ndindex(values.shape):
                if counted and not region[place]:
                    groups[-1].append(values[place])
        costs = [
            np.mean([softplus(v) for v in group])
            if penalty == "softplus"
            else math.sqrt(sum(v * v for v in group))
            for group in groups
            if group
        ]
        per_ct.append(np.mean(costs) if costs else 0.0)
    return float(np.mean(per_ct))


@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(*(st.integers(1, 3) for _ in range(5))),
    share=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    penalty=st.sampled_from(["softplus", "l2"]),
    over=st.sampled_from(["cells", "labels"]),
)
@settings(max_examples=60, deadline=None)
def test_it_agrees_with_brute_force(seed, shape, share, penalty, over) -> None:
    rng = np.random.default_rng(seed)
    attention = rng.normal(0, 3, shape)
    allowed, known = rng.random(shape) < share, rng.random(shape[:2]) < 0.7
    found = mask_loss(
        *map(torch.from_numpy, (attention, allowed, known)), penalty=penalty, over=over
    )
    expected = brute_force(attention, allowed, known, penalty, over)
    assert float(found) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("penalty", ["softplus", "l2"])
@pytest.mark.parametrize("over", ["cells", "labels"])
def test_its_gradient_is_what_finite_differences_say(penalty, over) -> None:
    draw = torch.Generator().manual_seed(3)
    attention = torch.randn(2, 3, 2, 2, 2, generator=draw, dtype=torch.float64).requires_grad_()
    allowed = torch.rand(2, 3, 2, 2, 2, generator=draw) < 0.4
    known = torch.rand(2, 3, generator=draw) < 0.7
    assert torch.autograd.gradcheck(
        lambda maps_: mask_loss(maps_, allowed, known, penalty=penalty, over=over), attention
    )
