"""The engine leaves no trace on a network, and gives the same answer under any circumstances."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from networks import ConvThenLinear, classifier_of, plain_input, random_ct
from test_axialnet import small_axialnet
from torch import nn

from napari_hirescam.attention import attention_maps, examine_target_layer, explain
from napari_hirescam.errors import AttributionError, Cancelled, HirescamError
from napari_hirescam.models import Classifier
from napari_hirescam.models.borrow import borrowed

SHAPE = (6, 8, 10)


def conv_classifier(layer: str = "pool") -> Classifier:
    torch.manual_seed(0)
    return classifier_of(ConvThenLinear(SHAPE), layer, plain_input(SHAPE), 3)


def axial_classifier() -> Classifier:
    spec = plain_input((None, 128, 128), layout="axial_triples", scale_to=(0, 1))
    return classifier_of(small_axialnet(), "conv2d.3", spec, 4, slices_per_chunk=2)


CASES = {"3-D network": (conv_classifier, SHAPE), "AxialNet": (axial_classifier, (12, 128, 128))}


def traces(network: nn.Module) -> dict:
    """Everything a careless engine could leave behind."""
    return {
        "modes": [m.training for m in network.modules()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in network.modules()
        ],
        "requires_grad": [p.requires_grad for p in network.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in network.parameters()],
        "state": {k: v.clone() for k, v in network.state_dict().items()},
        "flags": [getattr(m, "inplace", None) for m in network.modules()],
    }


def assert_same_traces(before: dict, after: dict) -> None:
    for key in ("modes", "hooks", "requires_grad", "flags"):
        assert before[key] == after[key], key
    for a, b in zip(before["grads"], after["grads"], strict=True):
        assert (a is None and b is None) or torch.equal(a, b)
    assert all(torch.equal(before["state"][k], after["state"][k]) for k in before["state"])


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_left_on_the_network(case) -> None:
    make, shape = CASES[case]
    classifier = make()
    network = classifier.network
    network.train()
    next(network.children()).eval()
    for k, p in enumerate(network.parameters()):
        p.grad = torch.full_like(p, float(k))
        p.requires_grad_(k % 2 == 0)
    before = traces(network)
    explain(random_ct(shape), classifier)
    examine_target_layer(classifier)
    assert_same_traces(before, traces(network))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_nothing_is_left_after_a_cancel(case, steps) -> None:
    make, shape = CASES[case]
    classifier = make()
    classifier.network.train()
    given = classifier.tensor_of(classifier.prepare(random_ct(shape)))
    before = traces(classifier.network)
    asked = iter(range(1000))
    with pytest.raises(Cancelled):
        attention_maps(
            classifier.network,
            given,
            classifier.spec.target_layer,
            should_stop=lambda: next(asked) >= steps,
        )
    assert_same_traces(before, traces(classifier.network))


def test_a_cancel_does_not_wait_for_the_layer_that_is_running() -> None:
    class Endless(ConvThenLinear):
        entered, go_on = threading.Event(), threading.Event()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.device.type != "meta":
                self.entered.set()
                assert self.go_on.wait(60)
            return super().forward(x)

    classifier = classifier_of(Endless(SHAPE), "pool", plain_input(SHAPE), 3)
    before = traces(classifier.network)
    try:
        with pytest.raises(Cancelled):
            explain(random_ct(SHAPE), classifier, should_stop=Endless.entered.is_set)
        assert not Endless.go_on.is_set()  # it returned while the layer still ran
    finally:
        Endless.go_on.set()
    with borrowed(classifier.network):  # the thread left behind ends by itself
        pass
    assert_same_traces(before, traces(classifier.network))


def test_progress_and_cancel_are_asked_in_the_callers_thread() -> None:
    threads = set()

    def note(*_: object) -> bool:
        threads.add(threading.get_ident())
        return False

    explain(random_ct(SHAPE), conv_classifier(), progress=note, should_stop=note)
    assert threads == {threading.get_ident()}


def test_nothing_is_left_after_a_failure() -> None:
    class Failing(ConvThenLinear):
        broken = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result = super().forward(x)
            if self.broken:
                raise RuntimeError("a kernel went wrong")
            return result

    classifier = classifier_of(Failing(SHAPE), "pool", plain_input(SHAPE), 3)
    assert classifier.dry_run.logits_shape == (1, 3)
    classifier.network.broken = True
    before = traces(classifier.network)
    with pytest.raises(AttributionError, match="a kernel went wrong") as caught:
        explain(random_ct(SHAPE), classifier)
    assert not isinstance(caught.value, RuntimeError)
    assert_same_traces(before, traces(classifier.network))


@pytest.mark.parametrize("case", CASES)
def test_the_answer_does_not_depend_on_the_surroundings(case) -> None:
    """Frozen weights, training mode, no_grad, inference_mode: the same maps."""
    make, shape = CASES[case]
    classifier = make()
    ct = random_ct(shape)
    expected = explain(ct, classifier).maps["hirescam"]
    for context in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with context():
            assert np.array_equal(explain(ct, classifier).maps["hirescam"], expected)
    classifier.network.train().requires_grad_(False)
    assert np.array_equal(explain(ct, classifier).maps["hirescam"], expected)


@pytest.mark.parametrize("case", CASES)
def test_two_threads_at_once_get_the_same_answer(case) -> None:
    make, shape = CASES[case]
    classifier = make()
    classifier.network.train()
    cts = [random_ct(shape, seed=k) for k in range(4)]
    expected = [explain(ct, classifier).maps["hirescam"] for ct in cts]
    found: dict[int, np.ndarray] = {}

    def work(k: int) -> None:
        found[k] = explain(cts[k], classifier).maps["hirescam"]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[k], expected[k]) for k in range(4))
    assert classifier.network.training


@pytest.mark.parametrize("case", CASES)
def test_progress_grows_to_its_total(case) -> None:
    make, shape = CASES[case]
    calls: list[tuple[int, int]] = []
    explain(random_ct(shape), make(), progress=lambda done, total: calls.append((done, total)))
    done = [d for d, _ in calls]
    assert done == sorted(done)
    assert calls[-1][0] == calls[-1][1]
    assert len({total for _, total in calls}) == 1


@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_a_plain_forward_pass(case) -> None:
    make, shape = CASES[case]
    classifier = make()
    ct = random_ct(shape)
    plain = classifier.logits(classifier.prepare(ct)).numpy()
    assert np.allclose(explain(ct, classifier).logits, plain, rtol=1e-5, atol=1e-6)


def test_scores_that_are_not_numbers_are_refused() -> None:
    classifier = conv_classifier()
    nn.init.constant_(classifier.network.fc.bias, float("nan"))
    with pytest.raises(AttributionError, match="not numbers"):
        explain(random_ct(SHAPE), classifier)


def test_running_out_of_memory_is_said_in_one_sentence() -> None:
    class Greedy(ConvThenLinear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.device.type != "meta":
                torch.empty(2**46)
            return super().forward(x)

    classifier = classifier_of(Greedy(SHAPE), "pool", plain_input(SHAPE), 3)
    with pytest.raises(AttributionError, match="memory ran out"):
        explain(random_ct(SHAPE), classifier)


def test_an_unknown_method_or_label_names_the_known_ones() -> None:
    classifier = conv_classifier()
    with pytest.raises(ValueError, match="hirescam, gradcam"):
        explain(random_ct(SHAPE), classifier, methods=["magic"])
    with pytest.raises(ValueError, match="label 0, label 1, label 2"):
        explain(random_ct(SHAPE), classifier).map("nodule")


def test_a_double_precision_network_gets_double_precision_input() -> None:
    classifier = conv_classifier()
    classifier.network.double()
    assert explain(random_ct(SHAPE), classifier).verified("label 0")


def test_waiting_for_a_network_in_other_hands_can_be_cancelled() -> None:
    classifier = conv_classifier()
    classifier.dry_run  # noqa: B018 - so that the wait below is for the pass itself
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with borrowed(classifier.network):
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    try:
        asked = iter(range(1000))
        with pytest.raises(Cancelled):
            explain(random_ct(SHAPE), classifier, should_stop=lambda: next(asked) > 3)
    finally:
        release.set()
        holder.join()


def test_a_dict_of_outputs_needs_to_be_told_which_are_the_logits() -> None:
    class Several(ConvThenLinear):
        def forward(self, x: torch.Tensor):
            return {"severity": super().forward(x), "image": x}

    classifier = classifier_of(Several(SHAPE), "pool", plain_input(SHAPE), 3)
    with pytest.raises(AttributionError, match=r"output\.entry .*severity, image"):
        explain(random_ct(SHAPE), classifier)


def test_errors_for_users_are_never_runtime_errors() -> None:
    """A generator worker of superqt would swallow one and leave the window busy."""

    def descendants(kind: type) -> set[type]:
        return {kind}.union(*(descendants(k) for k in kind.__subclasses__()))

    assert not any(issubclass(k, RuntimeError) for k in descendants(HirescamError) | {Cancelled})


def test_a_prepared_network_gives_the_same_and_follows_the_weights() -> None:
    torch.manual_seed(0)
    classifier = conv_classifier()
    ct = random_ct(SHAPE)
    plain, fast = explain(ct, classifier), explain(ct, classifier, prepared=True)
    size = float(np.abs(plain.maps["hirescam"]).max())
    assert fast.maps["hirescam"] == pytest.approx(plain.maps["hirescam"], abs=1e-5 * size)
    assert fast.verified("label 1")
    assert any("faster copy" in note for note in fast.provenance["notes"])
    made = classifier.prepared_network(None)
    assert made.is_prepared
    with torch.no_grad():
        classifier.network.conv1.weight.mul_(2)
    again = explain(ct, classifier, prepared=True)
    expected = explain(ct, classifier).maps["hirescam"]
    assert again.maps["hirescam"] == pytest.approx(
        expected, abs=1e-5 * float(np.abs(expected).max())
    )
