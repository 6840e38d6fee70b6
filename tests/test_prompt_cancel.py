"""Whatever takes long can be left at once, also while one layer runs for long."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from networks import classifier_of, plain_input, random_ct
from torch import Tensor, nn

from napari_hirescam.attention import explain, target_layers
from napari_hirescam.attention.sweep import sweep
from napari_hirescam.errors import Cancelled
from napari_hirescam.evaluation.explanation_tests import (
    occlusion_test,
    randomisation_test,
    removal_test,
)
from napari_hirescam.models import Classifier

SIZE = (8, 8, 8)


class Stuck(nn.Module):
    """A layer that does not end before it is let go, from the moment it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Conv3d(1, 2, 3, stride=2, padding=1)
        self.fc = nn.Linear(2 * 64, 2)

    def forward(self, x: Tensor) -> Tensor:
        if told.is_set():
            inside.set()
            assert let_go.wait(30)
        return self.fc(self.cells(x / 1000).flatten(1))


# Not of the network: a copy of it has to be stuck as well, and locks cannot be copied.
told, inside, let_go = threading.Event(), threading.Event(), threading.Event()


def whole() -> Classifier:
    return classifier_of(Stuck().eval(), "cells", plain_input(SIZE, spacing_mm=(1, 1, 1)), 2)


def patch() -> Classifier:
    spec = plain_input(SIZE, spacing_mm=(1, 1, 1), fit="window")
    return classifier_of(Stuck().eval(), "cells", spec, 2)


WORK: dict[str, tuple[Callable[[], Classifier], Callable]] = {
    "explain": (whole, lambda model, ct, _, stop: explain(ct, model, should_stop=stop)),
    "prepared": (
        whole,
        lambda model, ct, _, stop: explain(ct, model, prepared=True, should_stop=stop),
    ),
    "layers": (whole, lambda model, ct, _, stop: target_layers(model, ct, stop)),
    "sweep": (patch, lambda model, ct, _, stop: sweep(ct, model, "label 0", should_stop=stop)),
    "removal": (
        whole,
        lambda model, ct, known, stop: removal_test(
            ct, model, "label 0", explanation=known, should_stop=stop
        ),
    ),
    "occlusion": (
        whole,
        lambda model, ct, known, stop: occlusion_test(
            ct, model, "label 0", explanation=known, should_stop=stop
        ),
    ),
    "randomisation": (
        whole,
        lambda model, ct, known, stop: randomisation_test(
            ct, model, "label 0", explanation=known, should_stop=stop
        ),
    ),
}


@pytest.mark.parametrize("name", WORK)
def test_a_cancel_does_not_wait_for_the_end_of_a_layer(name) -> None:
    make, work = WORK[name]
    model, ct = make(), random_ct(SIZE)
    known = explain(ct, model) if make is whole else None
    threads = set(threading.enumerate())
    told.set()
    try:
        with pytest.raises(Cancelled):
            work(model, ct, known, inside.is_set)
        assert inside.is_set()  # and the layer has not ended yet: nobody let it go
        assert not let_go.is_set()
    finally:
        let_go.set()
        for thread in set(threading.enumerate()) - threads:
            thread.join(30)
        for event in (told, inside, let_go):
            event.clear()
