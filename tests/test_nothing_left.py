"""What a network keeps or overwrites by itself is no memory of ours."""

from __future__ import annotations

import threading

import numpy as np
import torch
from networks import ConvThenLinear, classifier_of, plain_input, random_ct
from torch import Tensor

from napari_hirescam.attention import attention_maps, explain
from napari_hirescam.attention.measured_field import measured_field
from napari_hirescam.evaluation.randomisation import randomise_weights
from napari_hirescam.evaluation.removal import deletion_insertion
from napari_hirescam.models.dry_run import dry_run
from napari_hirescam.models.layer_trace import trace_layers

SIZE = (6, 8, 10)


class KeepsInPrivate(ConvThenLinear):
    def __init__(self) -> None:
        super().__init__(SIZE)
        self._seen: list[Tensor] = []
        self._by_shape: dict[tuple[int, ...], Tensor] = {}
        self._last = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        self._seen.append(x)
        self._by_shape[tuple(x.shape)] = x
        self._last.add_(1)
        return super().forward(x)


def test_what_a_network_hoards_under_a_private_name_is_given_back() -> None:
    network = KeepsInPrivate().eval()
    seen, by_shape = network._seen, network._by_shape
    explain(random_ct(SIZE), classifier_of(network, "pool", plain_input(SIZE), 3))
    assert network._seen is seen
    assert seen == []
    assert network._by_shape is by_shape
    assert by_shape == {}
    assert float(network._last) == 0


class WritesIntoItsInput(ConvThenLinear):
    """Halves its input; asks for a number, so that its head cannot be carried out by itself."""

    def forward(self, x: Tensor) -> Tensor:
        x.mul_(0.5).add_(1)
        x = self.pool(self.act2(self.conv2(self.act1(self.norm(self.conv1(x))))))
        return self.fc(x.flatten(1)) * (1.0 if x.sum() < 1e9 else 2.0)


def test_a_test_asks_about_the_same_input_each_time_though_the_network_overwrites_it() -> None:
    network = WritesIntoItsInput(SIZE).eval()
    given = torch.randn(1, 1, *SIZE)
    cells = attention_maps(network, given.clone(), "pool").maps["hirescam"][0]
    before = given.clone()
    curves = deletion_insertion(network, given, "pool", 0, cells, steps=3, n_random=1)
    assert torch.equal(given, before)
    assert not curves.replayed
    assert curves.adds_up
    alike = randomise_weights(network, given, "pool", 0, max_points=2, repeats=1)
    assert torch.equal(given, before)
    assert np.isfinite(alike.spearman).all()


class UsedElsewhere(ConvThenLinear):
    """While it runs, another thread puts something else through one of its layers."""

    disturbed = False

    def forward(self, x: Tensor) -> Tensor:
        if self.disturbed and threading.current_thread() is threading.main_thread():
            other = threading.Thread(target=lambda: self.pool(torch.ones(2, 4, 4, 4, 4)))
            other.start()
            other.join()
        return super().forward(x)


def test_what_another_thread_puts_through_a_layer_is_not_taken_for_the_trace() -> None:
    torch.manual_seed(0)  # not every draw of weights lets a field be measured by gradients
    network = UsedElsewhere(SIZE).eval()
    shape = (1, 1, *SIZE)

    def looked_at() -> tuple[object, ...]:
        run = dry_run(network, shape, "pool", on_meta=False)
        calls = [(call.name, call.shape) for call in trace_layers(network, shape).calls]
        return run.target_layer, run.activation_shape, calls, measured_field(network, shape, "pool")

    alone = looked_at()
    network.disturbed = True
    assert looked_at() == alone
