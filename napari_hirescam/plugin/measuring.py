"""What `evaluate` measures, for the one CT that is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_hirescam.errors import SettingsError
from napari_hirescam.organs import OrganMap, allowed_organs
from napari_hirescam.organs.cells import PlaceRule
from napari_hirescam.plugin.run_record import RunRecord

if TYPE_CHECKING:
    from napari_hirescam.attention.result import Explanation, PlacementName
    from napari_hirescam.evaluation.case_measures import MapMeasures
    from napari_hirescam.evaluation.thresholds import FrozenThresholds
    from napari_hirescam.models import Classifier

#: Where maps are cut if the model brings no thresholds of its own, of their maximum.
USUAL_CUT = 0.5
#: What thresholds are called in a model's folder: the name that `evaluate` writes them under.
THRESHOLDS_FILE = "thresholds.json"
_RULE: PlaceRule = "half"


@dataclass(frozen=True, eq=False)
class Measured:
    """Measures of the maps of one CT.

    Parameters
    ----------
    rows
        One for each label that could be measured, and method.
    words
        Sentences that say how they were made, and what could not be.
    organs
        What they were measured in; its doubts are theirs.
    """

    rows: tuple[MapMeasures, ...]
    words: tuple[str, ...]
    organs: OrganMap = field(repr=False)


def needed_organs(classifier: Classifier | None) -> tuple[str, ...]:
    """Name the organs that a model's labels may lie in, each once; none without a model."""
    if classifier is None:
        return ()
    allowed = allowed_organs(classifier.labels, classifier.spec.organs, everyone=False)
    return tuple(dict.fromkeys(organ for organs in allowed.values() for organ in organs))


def measure(
    record: RunRecord,
    explanation: Explanation,
    organs: OrganMap,
    methods: Sequence[str],
    placement: PlacementName,
    check_stop: Callable[[], None] = lambda: None,
) -> Measured:
    """Measure the maps of an explanation, by the function that `evaluate` uses.

    Nobody has said here what the CT shows: each label is measured as if its finding were there.

    Parameters
    ----------
    record, explanation
        What was explained, and what came of it.
    organs
        On the grid of the CT.
    methods
        Which maps; those that the explanation has not are left out.
    placement
        Where cells lie.
    check_stop
        Called now and then; raises to give up.
    """
    from napari_hirescam.evaluation.case_measures import measure_case

    classifier = record.classifier
    allowed = allowed_organs(explanation.labels, classifier.spec.organs, everyone=False)
    cuts, how = _thresholds(classifier, explanation, placement)
    words = [f"Measured as if each finding were there. {how}"]
    nowhere = [label for label in explanation.labels if label not in allowed]
    if nowhere:
        words.append(f"The model names no organ for {', '.join(nowhere)}.")
    missing = sorted({one for places in allowed.values() for one in places} - set(organs.values))
    if missing:
        words.append(f"The masks do not show: {', '.join(missing)}.")
    # Labels of the same organs together, since their regions are worked out once for a call.
    alike: dict[tuple[str, ...], list[str]] = {}
    for label, places in allowed.items():
        if set(places) <= set(organs.values):
            alike.setdefault(places, []).append(label)
    rows: list[MapMeasures] = []
    for labels in alike.values():
        check_stop()
        rows += measure_case(
            explanation,
            organs,
            allowed,
            labels=labels,
            methods=[key for key in methods if key in explanation.maps],
            thresholds=cuts,
            placement=placement,
            rule=_RULE,
        )
    empty = dict.fromkeys(", ".join(row.organs) for row in rows if row.chance_cells == 0)
    words += [f"No cell lies in {names}: there is no OrganIoU." for names in empty]
    return Measured(tuple(rows), (*words, *organs.notes), organs)


def _thresholds(
    classifier: Classifier, explanation: Explanation, placement: PlacementName
) -> tuple[FrozenThresholds | float, str]:
    """Take the thresholds that lie in the model's folder, if they are for these maps."""
    usual = f"Maps are cut at {USUAL_CUT:g} of their maximum"
    file = classifier.folder / THRESHOLDS_FILE if classifier.folder is not None else None
    if file is None or not file.is_file():
        return USUAL_CUT, f"{usual}; the model brings no tuned thresholds."
    from napari_hirescam.evaluation.thresholds import FrozenThresholds, network_digest

    try:
        frozen = FrozenThresholds.load(file)
        frozen.refuse_other_network(
            network_digest(classifier), explanation.target_layer, placement, _RULE
        )
    except SettingsError as error:
        return USUAL_CUT, f"{usual}, since the model's own thresholds do not fit: {error.reason}."
    return frozen, "Maps are cut at the model's own thresholds, tuned label by label."
