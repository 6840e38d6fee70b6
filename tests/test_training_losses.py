"""The training step against plain numpy: losses, unknown labels, shares, AUROC, schedule."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from training_cases import LABELS, BlobCase, make_settings

from napari_hirescam.errors import CaseTableError
from napari_hirescam.models.axialnet import AxialNet
from napari_hirescam.training.attention import TrainableAttention
from napari_hirescam.training.cohort import positive_weights
from napari_hirescam.training.loading import Batch
from napari_hirescam.training.measures import EpochSums, LabelScores
from napari_hirescam.training.module import TrainingModule, share_of_rate
from napari_hirescam.training.samples import Unreadable

CELLS = (2, 2, 2)
ONE_PROCESS = SimpleNamespace(
    root_device=torch.device("cpu"),
    reduce=lambda tensor, reduce_op: tensor,
    all_gather=lambda tensor: tensor,
)


def make_batch(seed: int = 0, n: int = 3, *, mask: bool = True, counts=None) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    targets = torch.randint(2, (n, len(LABELS)), generator=draw).float()
    known = torch.rand(n, len(LABELS), generator=draw) < 0.7
    known[0] = True
    allowed = torch.rand(n, len(LABELS), *CELLS, generator=draw) < 0.4
    allowed &= (targets > 0)[:, :, None, None, None]
    return Batch(
        torch.randn(n, 2, 3, 16, 16, generator=draw),
        targets,
        known,
        allowed if mask else None,
        known if mask else None,
        torch.tensor(counts if counts is not None else [True] * n),
        tuple(f"c{k}" for k in range(n)),
        ((),) * n,
    )


def make_module(weights=(1.0, 1.0), **loss) -> TrainingModule:
    torch.manual_seed(0)
    network = AxialNet(
        2, grid=2, trunk_channels=[4, 4, 4, 4], trunk_stages=1, conv_channels=[4]
    ).eval()
    with torch.no_grad():
        network.fc.weight *= 8
    settings = make_settings(loss=loss)
    attention = TrainableAttention(network, "conv2d.1", (1, 2, 3, 16, 16), scale="per_slice")
    return TrainingModule(network, attention, settings, LABELS, torch.tensor(weights), 100)


def by_hand(module: TrainingModule, batch: Batch, weights=(1.0, 1.0)) -> list[tuple[float, float]]:
    """Class loss and mask loss of each CT, cell by cell, from the network's own layers."""
    network = module.network
    found = []
    for k in range(len(batch.cases)):
        with torch.no_grad():
            activation = network.trunk(batch.tensor[k]).double().numpy()
        head = network.fc.weight.detach().double().numpy()
        bias = network.fc.bias.detach().double().numpy()
        # Per slice, as the paper has it: not divided by the number of slices.
        maps = np.einsum("sfij,kfij->ksij", activation, head)
        logits = maps.sum(axis=(1, 2, 3)) / maps.shape[1] + bias
        class_terms, mask_terms = [], []
        for m, logit in enumerate(logits):
            if not batch.known[k, m]:
                continue
            present = bool(batch.targets[k, m])
            p = 1 / (1 + math.exp(-logit))
            class_terms.append(-weights[m] * math.log(p) if present else -math.log(1 - p))
            mask_terms += [
                math.log1p(math.exp(value))
                for value, inside in zip(
                    maps[m].ravel(), batch.allowed[k, m].numpy().ravel(), strict=True
                )
                if not inside
            ]
        found.append(
            (
                float(np.mean(class_terms)) if class_terms else 0.0,
                float(np.mean(mask_terms)) if mask_terms else 0.0,
            )
        )
    return found


class TestLosses:
    @pytest.mark.parametrize("seed", range(4))
    def test_they_are_those_of_plain_numpy(self, seed):
        module, batch = make_module(), make_batch(seed)

        class_loss, outside, _, _ = module.losses(batch)

        expected = by_hand(module, batch)
        assert class_loss.tolist() == pytest.approx([c for c, _ in expected], rel=1e-4)
        assert outside.tolist() == pytest.approx([m for _, m in expected], rel=1e-4)

    def test_the_step_adds_lambda_times_the_mask_loss(self):
        module, batch = make_module(mask_weight=0.25), make_batch()

        loss = module.training_step([batch], 0)

        expected = np.mean([c + 0.25 * m for c, m in by_hand(module, batch)])
        assert loss.item() == pytest.approx(expected, rel=1e-4)

    def test_present_labels_may_weigh_more(self):
        weights = (3.0, 1.0)
        module, batch = make_module(weights), make_batch(1)

        class_loss, _, _, _ = module.losses(batch)

        expected = [c for c, _ in by_hand(module, batch, weights)]
        assert class_loss.tolist() == pytest.approx(expected, rel=1e-4)

    def test_unknown_labels_give_no_gradient(self):
        module, batch = make_module(), make_batch()
        batch.known[:, 1] = False

        module.training_step([batch], 0).backward()

        gradient = module.network.fc.weight.grad
        assert gradient[0].abs().max() > 0
        assert gradient[1].abs().max() == 0

    def test_a_ct_of_unknown_labels_alone_costs_nothing(self):
        module, batch = make_module(), make_batch(n=1)
        batch.known[:] = False

        loss = module.training_step([batch], 0)

        assert loss.item() == 0

    def test_without_a_mask_loss_the_scores_are_the_same(self):
        module = make_module()

        _, _, logits, maps = module.losses(make_batch())
        _, outside, plain, none = module.losses(make_batch(mask=False))

        assert torch.allclose(logits, plain, atol=1e-5)
        assert maps is not None
        assert none is None
        assert outside.abs().max() == 0

    def test_the_gradient_of_a_batch_is_that_of_its_cts_one_by_one(self):
        module, batch = make_module(), make_batch()
        module.training_step([batch], 0).backward()
        together = module.network.fc.weight.grad.clone()
        module.zero_grad()

        for k in range(3):
            one = Batch(
                *(part[k : k + 1] for part in vars(batch).values()),
            )
            (module.training_step([one], 0) / 3).backward()

        assert torch.allclose(module.network.fc.weight.grad, together, rtol=1e-4, atol=1e-7)

    def test_what_a_worker_could_not_read_is_raised(self):
        error = CaseTableError("case c1", "it is damaged", "Mend it")

        with pytest.raises(CaseTableError, match="case c1: it is damaged"):
            make_module().training_step(Unreadable(error), 0)


class TestSums:
    def test_the_means_are_over_cts_not_batches(self):
        sums = EpochSums()
        sums.add(torch.tensor([1.0, 2.0]), torch.zeros(2), torch.zeros(2))
        sums.add(torch.tensor([6.0]), torch.zeros(1), torch.ones(1))

        figures = sums.figures("train", ONE_PROCESS)

        assert figures["train_loss"] == 3
        assert figures["train_mask_loss"] == pytest.approx(1 / 3)
        assert "train_share_inside" not in figures

    def test_cts_that_fill_up_do_not_count(self):
        sums = EpochSums()

        sums.add(
            torch.tensor([1.0, 9.0]), torch.ones(2), torch.ones(2), torch.tensor([True, False])
        )

        assert sums.figures("valid", ONE_PROCESS)["valid_loss"] == 1

    def test_the_share_inside_is_that_of_positive_attention_of_present_labels(self):
        batch = make_batch(n=1)
        batch.targets[:] = torch.tensor([[1.0, 0.0]])
        batch.allowed[:] = False
        batch.allowed[0, 0, 0, 0, 0] = True
        maps = torch.full((1, 2, *CELLS), -5.0)
        maps[0, 0, 0, 0] = torch.tensor([3.0, 1.0])
        maps[0, 1] = 100.0
        sums = EpochSums()

        sums.add_share_inside(maps, batch)

        assert sums.figures("valid", ONE_PROCESS)["valid_share_inside"] == 0.75

    @given(st.integers(0, 1000))
    def test_auroc_is_scikit_learns_over_the_known_cases(self, seed):
        rng = np.random.default_rng(seed)
        scores = LabelScores(LABELS)
        logits = rng.integers(-40, 41, (9, 2)).astype(np.float32)  # ties, and saturation
        batch = make_batch(seed, 9, counts=rng.random(9) < 0.8)

        scores.add(torch.from_numpy(logits), batch)

        figures = scores.figures("valid", ONE_PROCESS)
        expected = []
        for k, label in enumerate(LABELS):
            of = (batch.known[:, k] & batch.counts).numpy()
            present = batch.targets[of, k].numpy()
            value = figures[f"valid_auroc/{label}"]
            if len(set(present.tolist())) < 2:
                assert math.isnan(value)
            else:
                assert value == pytest.approx(roc_auc_score(present, logits[of, k]))
                expected.append(value)
        mean = figures["valid_auroc"]
        assert mean == pytest.approx(np.mean(expected)) if expected else math.isnan(mean)


class TestWeightsAndSchedule:
    def test_present_labels_weigh_absent_over_present_within_1_to_10(self):
        def cases(labels):
            return [BlobCase(str(k), str(k), "train", of) for k, of in enumerate(labels)]

        rare = cases([{"a": k == 0, "b": k < 10, "c": k < 6} for k in range(20)])
        unknown = cases([{"b": False}] * 30)

        assert positive_weights([*rare, *unknown], ["a", "b", "c"]) == [
            10,
            4,
            pytest.approx(14 / 6),
        ]
        assert positive_weights(cases([{"a": True}, {"a": True}]), ["a"]) == [1]

    def test_the_rate_rises_then_falls_to_nothing(self):
        shares = [share_of_rate(step, 4, 20) for step in range(21)]

        assert shares[:4] == [0.2, 0.4, 0.6, 0.8]
        assert shares[4] == 1
        assert shares[12] == pytest.approx(0.5)
        assert shares[20] == 0
        assert shares[4:] == sorted(shares[4:], reverse=True)
