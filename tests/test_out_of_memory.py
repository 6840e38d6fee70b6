"""When the memory runs out: smaller chunks, then the processor, and a word about it."""

from __future__ import annotations

import pytest
import torch
from networks import ConvThenLinear, classifier_of, plain_input, random_ct

from napari_hirescam.attention import explain
from napari_hirescam.attention.memory import attempts
from napari_hirescam.errors import AttributionError
from napari_hirescam.models.axialnet import AxialNet
from napari_hirescam.models.spec import InputSpec

SHAPE = (6, 8, 10)
AXIAL = InputSpec(shape=(12, 140, 140), layout="axial_triples")


class LittleRoom(AxialNet):
    """Fails like an allocator for more than so many images at once."""

    room = 2

    def trunk(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self.room and images.device.type != "meta":
            raise torch.OutOfMemoryError("no more memory")
        return super().trunk(images)


def little_room(room: int):
    torch.manual_seed(0)
    network = LittleRoom(2, 1, trunk_channels=(4, 4, 4, 4), conv_channels=(4, 4))
    network.room = room
    return classifier_of(network, "conv2d.3", AXIAL, 2, slices_per_chunk=4)


def test_slices_run_one_by_one_if_a_chunk_does_not_fit() -> None:
    ct = random_ct((12, 140, 140))
    small, large = explain(ct, little_room(1)), explain(ct, little_room(99))
    assert any("one by one" in note for note in small.provenance["notes"])
    assert large.provenance["notes"] == []
    assert small.maps["hirescam"] == pytest.approx(large.maps["hirescam"], rel=1e-4, abs=1e-7)


def test_the_last_word_names_the_remedy() -> None:
    with pytest.raises(AttributionError, match=r"memory ran out.*slices_per_chunk"):
        explain(random_ct((12, 140, 140)), little_room(0))


def test_the_processor_is_tried_after_an_accelerator() -> None:
    classifier = classifier_of(ConvThenLinear(SHAPE), "pool", plain_input(SHAPE), 3)
    classifier.device = "cuda"
    assert [a.device for a in attempts(classifier)] == ["cuda", "cpu"]
    assert "processor" in list(attempts(classifier))[1].note


def test_allocators_without_an_exception_of_their_own_are_understood() -> None:
    class Huge(ConvThenLinear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.device.type == "meta":
                return super().forward(x)
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    classifier = classifier_of(Huge(SHAPE), "pool", plain_input(SHAPE), 3)
    with pytest.raises(AttributionError, match="memory ran out"):
        explain(random_ct(SHAPE), classifier)


def test_mixed_precision_shows_in_the_residual_and_is_said() -> None:
    torch.manual_seed(0)
    classifier = classifier_of(ConvThenLinear(SHAPE), "pool", plain_input(SHAPE), 3)
    ct = random_ct(SHAPE)
    full, mixed = explain(ct, classifier), explain(ct, classifier, mixed_precision=True)
    assert not full.provenance["mixed_precision"]
    assert mixed.provenance["mixed_precision"]
    assert mixed.guarantee.holds
    assert mixed.verified("label 0")
    worst = max(abs(mixed.residual(name)) for name in mixed.labels)
    assert worst > 10 * max(abs(full.residual(name)) for name in full.labels)
    assert mixed.logits == pytest.approx(full.logits, rel=0.1, abs=5)
