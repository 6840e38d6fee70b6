"""The engine on every network of the zoo: right maps, right promise, nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from full_autograd import full_autograd
from networks import classifier_of, plain_input, random_ct
from real_networks import REAL_NETWORKS, load_real
from torch import Tensor, nn
from zoo import ZOO, classifier_named, input_of, network_of
from zoo_hand_made import HAND_MADE
from zoo_inhabitant import ARITHMETIC, LOCAL, SAME
from zoo_networks import VisionTransformer

from napari_hirescam.attention import (
    Explanation,
    RawAttention,
    attention_maps,
    explain,
    target_layers,
)
from napari_hirescam.errors import AttributionError, Cancelled
from napari_hirescam.volume import Volume

every_network = pytest.mark.parametrize("name", ZOO)


def maps_of(name: str, network: nn.Module | None = None, **more: Any) -> RawAttention:
    here = ZOO[name]
    return attention_maps(
        network or network_of(name), input_of(name), here.layer, output=here.output, **more
    )


@cache
def raw(name: str) -> RawAttention:
    return maps_of(name)


def ct_for(name: str) -> tuple[Volume, tuple[float, float, float] | None]:
    """Make a CT of the network's size, and a place in it if the network wants one slice."""
    spec = classifier_named(name).spec.input
    slices = spec.shape[0] if spec.layout != "slice" else 4
    ct = random_ct((slices, *spec.shape[1:]))
    return ct, (2.0, 10.0, 10.0) if spec.layout == "slice" else None


@cache
def explained(name: str, layer: str) -> Explanation:
    ct, place = ct_for(name)
    return explain(ct, classifier_named(name).with_target_layer(layer), at_mm=place)


def relative_residual(result: RawAttention) -> np.ndarray:
    maps = result.maps["hirescam"].astype(np.float64)
    total = maps.sum((1, 2, 3))
    # A score near zero is the difference of large numbers: rounding goes with the cells.
    parts = np.abs([result.logits, result.bias, np.abs(maps).sum((1, 2, 3))])
    return np.abs(total + result.bias - result.logits) / parts.max(0)


def same_maps(first: RawAttention, second: RawAttention) -> bool:
    """The same but for the last bits, which may depend on where in memory the arrays lie."""
    return same_numbers(first.logits, second.logits) and all(
        same_numbers(maps, second.maps[method]) for method, maps in first.maps.items()
    )


def same_numbers(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(np.abs(first - second).max() <= 1e-6 * np.abs(second).max())


def test_the_zoo_is_large_enough() -> None:
    assert len(ZOO) + len(REAL_NETWORKS) >= 25


@every_network
def test_maps_are_those_of_autograd_through_the_whole_network(name) -> None:
    here = ZOO[name]
    truth = full_autograd(
        network_of(name), input_of(name), here.layer, here.read, here.output.layer
    )
    found = raw(name)
    assert found.logits == pytest.approx(truth.logits, rel=1e-4, abs=1e-5)
    assert len(found.logits) == here.n_labels == len(truth.gradients)
    for k in range(here.n_labels):
        for method, expected in (
            ("hirescam", truth.hirescam(k)),
            ("gradcam", truth.gradcam(k)),
        ):
            # A label of a maximum over slices can have a feature of zeros, never a map of them.
            largest = np.abs(expected).max()
            assert largest > 0
            assert np.abs(found.maps[method][k] - expected).max() <= 1e-4 * largest, (method, k)


@every_network
def test_the_promise_is_the_expected_one_and_is_kept(name) -> None:
    here, found = ZOO[name], raw(name)
    assert found.guarantee.state is here.state, found.guarantee.reason
    assert here.because in found.guarantee.reason
    if here.state is LOCAL:
        assert np.isnan(found.bias).all()
        return
    assert relative_residual(found).max() <= 2e-5
    pictures = found.maps["hirescam"], found.maps["gradcam"]
    largest = np.abs(pictures[0]).max()
    assert np.allclose(*pictures, rtol=0, atol=1e-4 * largest) == (here.state is SAME)


@every_network
def test_a_run_twice_and_in_two_threads_at_once_gives_the_same_bits(name) -> None:
    network = network_of(name)
    assert same_maps(maps_of(name), raw(name))
    found: list[RawAttention] = []
    threads = [
        threading.Thread(target=lambda: found.append(maps_of(name, network))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert all(same_maps(one, raw(name)) for one in found)


@pytest.mark.parametrize("name", [*HAND_MADE, "AxialNet"])
def test_it_does_not_matter_in_which_gradient_mode_it_is_called(name) -> None:
    ct, place = ct_for(name)
    expected = explained(name, ZOO[name].layer)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = explain(ct, classifier_named(name), at_mm=place)
        assert np.array_equal(found.maps["hirescam"], expected.maps["hirescam"])
        assert found.guarantee == expected.guarantee


@every_network
def test_the_table_of_layers_says_what_a_run_finds(name) -> None:
    here = ZOO[name]
    rows = target_layers(classifier_named(name))
    (preferred,) = (row for row in rows if row.preferred)
    assert preferred.name == (here.preferred or here.layer)
    layers = [row for row in rows if row.name != "input"]
    for row in {r.name: r for r in (layers[0], layers[len(layers) // 2], preferred)}.values():
        result = explained(name, row.name)
        assert result.maps["hirescam"].shape[1:] == row.cells
        assert result.guarantee.holds == row.guarantee.holds, row.name
        # That gradients are uniform shows in a run for more heads than in the structure.
        assert result.guarantee.state in (row.guarantee.state, SAME), row.name
        if result.guarantee.holds:
            assert all(result.verified(label) for label in result.labels), row.name


@every_network
def test_it_is_known_where_the_cells_lie(name) -> None:
    here = ZOO[name]
    result = explained(name, here.layer)
    by_arithmetic = "receptive_field" in result.affines and "measured" not in result.placement_note
    assert by_arithmetic == (here.placed == ARITHMETIC), result.placement_note
    assert by_arithmetic or result.placement_note


def tensors_in(returned: Any) -> Iterator[Tensor]:
    if isinstance(returned, Tensor):
        yield returned
    for part in returned.values() if isinstance(returned, dict) else ():
        yield from tensors_in(part)
    for part in returned if isinstance(returned, tuple) else ():
        yield from tensors_in(part)


def everything_of(network: nn.Module) -> list[Any]:
    """All that a careless engine could leave behind, as values that can be compared."""
    found: list[Any] = [f"{key} {value.tolist()}" for key, value in small_state(network)]
    for module in network.modules():
        own = vars(module)
        found += [module.training, sorted(own)]
        found += [(key, len(own[key])) for key in own if "hooks" in key and own[key] is not None]
        found += [
            (key, copy(value) if isinstance(value, list | dict | bool | int) else id(value))
            for key, value in own.items()
            if not key.startswith("_")
        ]
    for parameter in network.parameters():
        gradient = parameter.grad
        found.append((parameter.requires_grad, gradient is not None and gradient.sum().item()))
        found.append((id(parameter), parameter._version))
    return found


def small_state(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Each tensor of the state dict, or its sum and its first values where it is large."""
    for key, value in network.state_dict().items():
        flat = value.detach().flatten()
        yield key, flat if len(flat) < 100 else torch.stack([flat.sum(), flat[0], flat[-1]])


@every_network
def test_nothing_is_left_behind_not_even_by_a_failure_or_a_cancel(name) -> None:
    network = deepcopy(network_of(name)).train()
    next(iter(network.children())).eval()
    for k, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(k % 2 == 0)
        parameter.grad = torch.full_like(parameter, float(k))
    before = everything_of(network)
    asked = 0

    def count() -> bool:
        nonlocal asked
        asked += 1
        return False

    assert same_maps(maps_of(name, network, should_stop=count), raw(name))
    assert everything_of(network) == before
    for step in (1, asked // 2, asked - 1):
        left = iter([False] * step)
        with pytest.raises(Cancelled):
            maps_of(name, network, should_stop=lambda left=left: next(left, True))
        assert everything_of(network) == before
    for breaking in (
        network.get_submodule(ZOO[name].layer.partition("#")[0]),
        last_layer(name, network),
    ):
        hook = breaking.register_forward_hook(failing)
        broken = everything_of(network)
        with pytest.raises(ArithmeticError, match="a kernel went wrong"):
            maps_of(name, network)
        assert everything_of(network) == broken
        hook.remove()
    assert everything_of(network) == before


def last_layer(name: str, network: nn.Module) -> nn.Module:
    """Find the module without modules in it that runs last in a forward pass."""
    ran: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, _args, _result: ran.append(module))
        for module in network.modules()
        if not list(module.children())
    ]
    maps_of(name, network)
    for hook in hooks:
        hook.remove()
    return ran[-1]


def failing(*_: Any) -> None:
    raise ArithmeticError("a kernel went wrong")


def train_a_little(name: str, between: Callable[[nn.Module], None]) -> nn.Module:
    """Take two steps of training, with something done while gradients are still pending."""
    network = deepcopy(network_of(name)).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()  # one item has no statistics
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    for step in range(2):
        torch.manual_seed(step)
        loss = sum(t.square().mean() for t in tensors_in(network(input_of(name, seed=step))))
        between(network)
        if loss.requires_grad:
            loss.backward()
            nn.utils.clip_grad_value_(network.parameters(), 0.01)
        optimiser.step()
        optimiser.zero_grad()
    between(network)
    return network


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Two threads now and then add in another order, and the same training ends elsewhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@every_network
def test_training_goes_on_as_if_nobody_had_looked(name) -> None:
    def look(network: nn.Module) -> None:
        found = maps_of(name, network)
        assert same_maps(found, maps_of(name, deepcopy(network).eval()))

    watched = train_a_little(name, look).state_dict()
    assert all(value.isfinite().all() for value in watched.values())
    alone = train_a_little(name, lambda _network: None).state_dict()
    assert all(torch.equal(watched[key], value) for key, value in alone.items())


@pytest.mark.parametrize("layer", ["encoder", "fc"])
def test_a_layer_without_a_grid_is_refused_in_one_sentence(layer) -> None:
    torch.manual_seed(0)
    spec = plain_input((16, 16, 16))
    classifier = classifier_of(VisionTransformer().eval(), layer, spec, 3)
    with pytest.raises(AttributionError, match=r"has shape \[1, .*expected \[S, F, h, w\] or"):
        explain(random_ct((16, 16, 16)), classifier)
    assert layer not in {row.name for row in target_layers(classifier)}


@pytest.mark.parametrize("name", REAL_NETWORKS)
def test_a_trained_networks_maps_are_those_of_autograd(name, shared_dir) -> None:
    network, shape, layer, output = load_real(name, shared_dir)
    given = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    read = None if output.layer else (lambda returned: returned)
    truth = full_autograd(network, given, layer, read, output.layer, labels=slice(3))
    found = attention_maps(network, given, layer, output=output)
    assert found.logits == pytest.approx(truth.logits, rel=1e-4, abs=1e-4)
    for k in range(len(truth.gradients)):
        expected = truth.hirescam(k)
        assert np.abs(found.maps["hirescam"][k] - expected).max() <= 1e-4 * np.abs(expected).max()
    assert relative_residual(found).max() <= 2e-5
