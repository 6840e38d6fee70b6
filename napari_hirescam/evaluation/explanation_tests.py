"""Three tests of an explanation, from a CT and a model to findings in words and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hirescam.attention.prompt_cancel import cancel_promptly
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.evaluation.map_under_test import (
    Point,
    can_be_tested,
    faults_named,
    prepare_test,
)
from napari_hirescam.evaluation.occlusion import Fill, occlusion
from napari_hirescam.evaluation.randomisation import randomise_weights
from napari_hirescam.evaluation.randomisation_findings import RandomisationTest
from napari_hirescam.evaluation.removal import deletion_insertion
from napari_hirescam.evaluation.removal_findings import OcclusionTest, RemovalTest
from napari_hirescam.volume import Volume

if TYPE_CHECKING:
    from napari_hirescam.attention import Explanation
    from napari_hirescam.models import Classifier


def removal_test(
    volume: Volume,
    classifier: Classifier,
    label: str,
    method: str = "hirescam",
    *,
    explanation: Explanation | None = None,
    at_mm: Point | None = None,
    steps: int = 20,
    n_random: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> RemovalTest:
    """Set the cells a map points at to zero, and see the score fall beside random cells.

    Parameters
    ----------
    volume, classifier
        The CT and the model.
    label, method
        Which map.
    explanation
        What :func:`~napari_hirescam.attention.explain` made of them; None explains the CT now.
    at_mm
        (I, P, L) mm of the window's centre, for a patch network without an explanation.
    steps, n_random, seed
        See :func:`~napari_hirescam.evaluation.removal.deletion_insertion`.
    progress, should_stop
        Called with (done, total); asked every 50 ms. Both in the caller's thread.

    Raises
    ------
    InputError
        The label or method is unknown, or the explanation is of something else.
    AttributionError
        The network failed.
    Cancelled
        `should_stop` said so; within half a second.
    """

    def work(tell: Progress, stop: ShouldStop) -> RemovalTest:
        first, second = _halves(tell, whole=can_be_tested(explanation, method))
        subject = prepare_test(
            volume, classifier, label, method,
            explanation=explanation, at_mm=at_mm, progress=first, should_stop=stop,
        )  # fmt: skip
        spec = classifier.spec
        with faults_named(classifier, volume):
            curves = deletion_insertion(
                classifier.network,
                subject.given,
                spec.target_layer,
                subject.label_index,
                subject.cells,
                output=spec.output,
                activation=spec.activation,
                slices_per_chunk=spec.slices_per_chunk,
                steps=steps,
                n_random=n_random,
                seed=seed,
                progress=second,
                should_stop=stop,
            )
        subject.check_score(float(curves.deletion.logits[0]))
        return RemovalTest(subject.facts(seed=seed), curves)

    return cancel_promptly(work, progress, should_stop)


def occlusion_test(
    volume: Volume,
    classifier: Classifier,
    label: str,
    method: str = "hirescam",
    *,
    explanation: Explanation | None = None,
    at_mm: Point | None = None,
    fill: Fill = "mean",
    steps: int = 5,
    n_random: int = 3,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> OcclusionTest:
    """Blank the CT out where a map points, and see the score fall beside random places.

    Parameters
    ----------
    fill, steps, n_random, seed
        See :func:`~napari_hirescam.evaluation.occlusion.occlusion`; each point takes a forward
        pass.

    Others, and what is raised, as for :func:`removal_test`.
    """

    def work(tell: Progress, stop: ShouldStop) -> OcclusionTest:
        first, second = _halves(tell, whole=can_be_tested(explanation, method))
        subject = prepare_test(
            volume, classifier, label, method,
            explanation=explanation, at_mm=at_mm, progress=first, should_stop=stop,
        )  # fmt: skip
        with faults_named(classifier, volume):
            curves = occlusion(
                classifier,
                subject.model_input,
                subject.attention,
                volume.grid,
                fill=fill,
                steps=steps,
                n_random=n_random,
                seed=seed,
                progress=second,
                should_stop=stop,
            )
        subject.check_score(float(curves.strongest.logits[0]))
        return OcclusionTest(subject.facts(seed=seed), curves)

    return cancel_promptly(work, progress, should_stop)


def randomisation_test(
    volume: Volume,
    classifier: Classifier,
    label: str,
    method: str = "hirescam",
    *,
    explanation: Explanation | None = None,
    at_mm: Point | None = None,
    max_points: int = 12,
    repeats: int = 3,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> RandomisationTest:
    """Let a copy of the network forget layer by layer, and see the map change, or not.

    Parameters
    ----------
    max_points, repeats, seed
        See :func:`~napari_hirescam.evaluation.randomisation.randomise_weights`.

    Others, and what is raised, as for :func:`removal_test`.
    """

    def work(tell: Progress, stop: ShouldStop) -> RandomisationTest:
        first, second = _halves(tell, whole=can_be_tested(explanation, method))
        subject = prepare_test(
            volume, classifier, label, method,
            explanation=explanation, at_mm=at_mm, progress=first, should_stop=stop,
        )  # fmt: skip
        spec = classifier.spec
        with faults_named(classifier, volume):
            curves = randomise_weights(
                classifier.network,
                subject.given,
                spec.target_layer,
                subject.label_index,
                method=method,
                output=spec.output,
                slices_per_chunk=spec.slices_per_chunk,
                max_points=max_points,
                repeats=repeats,
                seed=seed,
                progress=second,
                should_stop=stop,
            )
        return RandomisationTest(subject.facts(seed=seed), curves)

    return cancel_promptly(work, progress, should_stop)


def _halves(tell: Progress, *, whole: bool) -> tuple[Progress, Progress]:
    """Split one bar between explaining and testing; all of it for the test if `whole`."""
    if whole:
        return tell, tell
    return (
        lambda done, total: tell(done, 2 * total),
        lambda done, total: tell(total + done, 2 * total),
    )
