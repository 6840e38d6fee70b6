"""Faults that were found in other attention libraries, one by one: ours has none of them."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from networks import ConvThenLinear, classifier_of, plain_input, random_ct
from torch import Tensor, nn
from zoo_networks import Plain, SlicesAsBatch

from napari_hirescam.attention import Explanation, attention_maps, explain
from napari_hirescam.attention.methods import METHODS

CUBE = (8, 8, 8)
LABELS = 16


class ManyLabels(Plain):
    """Sixteen labels behind one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6 * 64, LABELS)


class ReadsNoCell(Plain):
    """Its second label is a constant: no cell adds anything to it."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.fc.weight[1] = 0


def explained(network: nn.Module, n_labels: int = 3, methods=("hirescam", "gradcam")):
    classifier = classifier_of(
        network.eval(), "cells", plain_input(CUBE, scale_to=(-1.0, 1.0)), n_labels
    )
    return explain(random_ct(CUBE), classifier, methods=methods)


def build(make: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make()


def test_slices_on_the_batch_axis_are_not_scaled_one_by_one() -> None:
    """Two libraries give each slice a maximum of 1, so that empty slices look like evidence."""
    torch.manual_seed(0)
    network = SlicesAsBatch(lambda scores: scores.mean(0, keepdim=True))
    nn.init.zeros_(network.cells[0].bias)
    shape = (6, 16, 16)
    classifier = classifier_of(network.eval(), "cells", plain_input(shape), 3)
    ct = random_ct(shape)
    ct.voxels[:3] //= 1000
    picture = explain(ct, classifier).map("label 0").positive()
    highest = picture.max(axis=(1, 2))
    assert highest.max() == 1
    assert (highest[:3] < 0.1).all()
    assert (highest[3:] > 0.1).all()


def test_a_map_of_dust_keeps_its_size() -> None:
    """Minimum and maximum set to 0 and 1 make dust look like a finding."""
    loud, faint = build(Plain), build(Plain)
    with torch.no_grad():
        faint.fc.weight *= 1e-6
    strong, weak = (explained(network).maps["hirescam"] for network in (loud, faint))
    assert weak == pytest.approx(strong * 1e-6, rel=1e-4)


def test_a_map_against_the_label_stays_negative_and_is_shown_empty() -> None:
    network = build(Plain)
    with torch.no_grad():
        network.fc.weight.copy_(-network.fc.weight.abs())
    attention = explained(network).map("label 0")
    assert attention.values.max() <= 0
    assert attention.values.min() < 0
    assert attention.maximum == 0
    assert not attention.positive().any()


def test_the_most_important_cell_is_the_brightest_not_the_darkest() -> None:
    attention = explained(build(Plain)).map("label 0")
    picture = attention.positive()
    brightest = np.unravel_index(picture.argmax(), picture.shape)
    assert picture[brightest] == 1
    assert attention.values[brightest] == attention.values.max()
    assert not picture[attention.values <= 0].any()


def test_one_labels_map_does_not_leak_into_another() -> None:
    network = build(ManyLabels)
    before = explained(network, LABELS).maps["hirescam"]
    with torch.no_grad():
        network.fc.weight[3] *= -7
    after = explained(network, LABELS).maps["hirescam"]
    changed = [k for k in range(LABELS) if not np.array_equal(before[k], after[k])]
    assert changed == [3]


def test_every_label_gets_a_map_and_none_is_silently_zero() -> None:
    result = explained(build(ManyLabels), LABELS)
    assert set(result.maps) == {"hirescam", "gradcam"}
    for maps in result.maps.values():
        assert maps.shape[0] == LABELS
        assert all(values.any() for values in maps)
        assert len({values.tobytes() for values in maps}) == LABELS


def test_not_only_the_likeliest_label_is_explained() -> None:
    result = explained(build(ManyLabels), LABELS)
    last = result.ranked()[-1]
    assert result.map(last).values.any()
    assert result.verified(last)


def test_a_label_without_evidence_gives_zeros_and_no_nan() -> None:
    result = explained(build(ReadsNoCell), methods=tuple(METHODS))
    for method, maps in result.maps.items():
        assert np.isfinite(maps).all(), method
        assert not maps[1].any(), method
        assert maps[0].any(), method
    assert not result.map("label 1").positive().any()
    assert result.verified("label 1")


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e-12])
def test_gradcam_plus_plus_has_no_small_constant_that_takes_over(scale) -> None:
    """With 1e-7 added to the denominator, deep networks' small gradients gave another map."""
    torch.manual_seed(0)
    activation = torch.rand(4, 3, 3, 3)
    gradient = torch.randn(4, 3, 3, 3) * scale
    a, g = activation.double().numpy(), gradient.double().numpy()
    below = 2 * g**2 + a.sum((1, 2, 3), keepdims=True) * g**3
    weights = (g**2 / below * np.maximum(g, 0)).sum((1, 2, 3))
    expected = np.einsum("f,fdhw->dhw", weights, a)
    found = METHODS["gradcam++"].compute(activation, gradient).numpy()
    assert found == pytest.approx(expected, rel=1e-4)


def test_gradcam_plus_plus_does_not_overflow_at_high_scores() -> None:
    """exp(score), a factor in the paper, is infinite in single precision above 88."""
    network = build(Plain)
    nn.init.constant_(network.fc.bias, 500.0)
    result = explained(network, methods=("gradcam++",))
    assert result.logits.min() > 88
    assert np.isfinite(result.maps["gradcam++"]).all()
    assert result.maps["gradcam++"].any()


def test_no_graph_and_no_activation_stays_alive() -> None:
    """One library keeps the whole graph after the call, another until the next forward."""
    network = ConvThenLinear().eval()
    alive: list[weakref.ref] = []

    def watch(_module: nn.Module, _args: tuple, result: Tensor) -> None:
        alive.append(weakref.ref(result))

    hooks = [m.register_forward_hook(watch) for m in network.modules()]
    result = attention_maps(network, torch.randn(1, 1, 6, 8, 10), "pool")
    for hook in hooks:
        hook.remove()
    gc.collect()
    assert len(alive) >= 7
    assert [kept for kept in alive if kept() is not None] == []
    assert result.maps["hirescam"].any()


def test_one_forward_pass_serves_every_label_and_method() -> None:
    """Others run it once, or twice, for each."""
    network = build(ManyLabels).eval()
    calls = []
    hook = network.cells.register_forward_hook(lambda *_: calls.append(1))
    attention_maps(network, torch.randn(1, 1, *CUBE), "cells", methods=list(METHODS))
    hook.remove()
    assert len(calls) == 1


def test_an_index_error_of_the_network_is_not_swallowed() -> None:
    class Careless(Plain):
        def head(self, a: Tensor) -> Tensor:
            return [super().head(a)][1]

    with pytest.raises(IndexError):
        attention_maps(Careless().eval(), torch.randn(1, 1, *CUBE), "cells")


def test_flags_for_speed_and_determinism_are_left_alone() -> None:
    """One library switches cuDNN off for the whole process."""
    flags = torch.backends.cudnn.enabled, torch.backends.cudnn.deterministic
    modes = torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()
    explained(build(Plain))
    assert (torch.backends.cudnn.enabled, torch.backends.cudnn.deterministic) == flags
    assert (torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()) == modes


def test_features_are_summed_before_anything_is_cut_off() -> None:
    """Cutting negatives off each feature first is another method under the same name."""
    network = build(Plain).eval()
    given = torch.randn(1, 1, *CUBE)
    with torch.no_grad():
        product = network.cells(network.first(given))[0] * network.fc.weight[0].view(6, 4, 4, 4)
    found = attention_maps(network, given, "cells").maps["hirescam"][0]
    assert found == pytest.approx(product.sum(0).numpy(), abs=1e-6)
    cut_first = product.relu().sum(0).numpy()
    assert np.abs(np.maximum(found, 0) - cut_first).max() > 0.1 * np.abs(found).max()
    assert found.min() < 0


def test_where_grad_cam_is_the_same_picture_the_user_is_told() -> None:
    class Pooled(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def head(self, a: Tensor) -> Tensor:
            return self.fc(a.mean((2, 3, 4)))

    def same(result: Explanation) -> bool:
        largest = np.abs(result.maps["hirescam"]).max()
        return np.allclose(result.maps["hirescam"], result.maps["gradcam"], atol=1e-5 * largest)

    pooled, flat = explained(build(Pooled)), explained(build(Plain))
    assert same(pooled)
    assert pooled.guarantee.same_picture
    assert not same(flat)
    assert not flat.guarantee.same_picture
