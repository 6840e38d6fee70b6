"""What RAD-ChestCT's labels are made of, and in which organ each of them lies in a case.

The published tables say of each scan which of 84 abnormalities its report puts at which of 52
locations. The networks' labels are made of these: an abnormality anywhere ("nodule"), or one in
an organ ("lung_nodule", "h_mediastinum_nodule", "heart_calcification"), after Draelos & Carin
(arXiv 2002.04752, 2111.12215) and the rules in the code of the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.models.label_lists import label_list_names, read_label_list

BoolArray = npt.NDArray[np.bool_]

#: How the sides of findings that lie in a lung by their nature are taken. "reported": the side
#: that the report names, both where it names none. "reference": both whenever they are present,
#: which is what the code of the paper does.
Sides = Literal["reported", "reference"]

#: Locations that place a finding in an organ. "lung" and "airways" name no side.
ORGAN_LOCATIONS: dict[str, tuple[str, ...]] = {
    "left_lung": ("left_upper", "left_mid", "left_lower", "left_lung"),
    "right_lung": ("right_upper", "right_mid", "right_lower", "right_lung"),
    "heart": ("heart", "mitral_valve", "aortic_valve", "tricuspid_valve", "pulmonary_valve"),
    "great_vessel": ("aorta", "svc", "ivc", "pulmonary_artery", "pulmonary_vein"),
    "mediastinum": ("mediastinum", "hilum"),
}
_BOTH_LUNGS = ("lung", "airways")
_LUNGS = ("left_lung", "right_lung")
_PREFIXES = {
    "h_great_vessel_": ("great_vessel",),
    "h_mediastinum_": ("mediastinum",),
    "heart_": ("heart",),
    "lung_": _LUNGS,
}

#: Abnormalities that can be nowhere but in a lung or its pleura.
LUNG_SPECIFIC = frozenset(
    (
        *("bandlike_or_linear", "bronchial_wall_thickening", "groundglass", "honeycombing"),
        *("reticulation", "tree_in_bud", "airspace_disease", "air_trapping", "aspiration"),
        *("atelectasis", "bronchiectasis", "bronchiolectasis", "bronchiolitis", "bronchitis"),
        *("emphysema", "hemothorax", "interstitial_lung_disease", "lung_resection"),
        *("mucous_plugging", "pleural_effusion", "pleural_thickening", "pneumonia"),
        *("pneumonitis", "pneumothorax", "pulmonary_edema", "septal_thickening", "tuberculosis"),
    )
)


@dataclass(frozen=True)
class LabelRule:
    """Which columns make a label.

    Parameters
    ----------
    label
        Its name.
    abnormality
        The first part of its columns' names.
    organs
        Those it must be reported in; empty if anywhere will do.
    """

    label: str
    abnormality: str
    organs: tuple[str, ...]


def labels_of(labels: str | Sequence[str]) -> tuple[str, ...]:
    """Give the labels of a shipped list, or those listed.

    Raises
    ------
    KeyError
        There is no list of that name.
    """
    if not isinstance(labels, str):
        return tuple(labels)
    if labels not in label_list_names():
        raise KeyError(labels)
    return read_label_list(labels)


def rule_of(label: str, abnormalities: Iterable[str]) -> LabelRule:
    """Find what a label is made of.

    Parameters
    ----------
    label
        "nodule", "lung_nodule", "heart_heart_failure".
    abnormalities
        Those that the table tells of.

    Raises
    ------
    KeyError
        The table has no such abnormality.
    """
    known = set(abnormalities)
    # "heart_failure" is an abnormality, and no failure that lies in the heart.
    if label in known:
        return LabelRule(label, label, ())
    for prefix, organs in _PREFIXES.items():
        abnormality = label.removeprefix(prefix)
        if abnormality != label and abnormality in known:
            return LabelRule(label, abnormality, organs)
    raise KeyError(label)


@dataclass(frozen=True, eq=False)
class Findings:
    """One label over some cases.

    Parameters
    ----------
    present
        [case].
    organs
        Organ -> [case], where the label may lie if it is present. All False for a case whose
        report names no place that is an organ.
    """

    present: BoolArray
    organs: dict[str, BoolArray]


class LabelReader:
    """Makes labels of rows of a table, by rules that are settled once.

    Parameters
    ----------
    rules
        Of the labels.
    columns
        (abnormality, location) of each column.
    sides
        See `Sides`.
    """

    def __init__(
        self, rules: Iterable[LabelRule], columns: Sequence[tuple[str, str]], sides: Sides
    ) -> None:
        self.rules = tuple(rules)
        self.sides = sides
        places: dict[str, dict[str, int]] = {}
        for number, (abnormality, location) in enumerate(columns):
            places.setdefault(abnormality, {})[location] = number
        self._places = places

    def read(self, reported: npt.NDArray[np.uint8]) -> list[Findings]:
        """Make every rule's label of some cases.

        Parameters
        ----------
        reported
            0 or 1, [case, column].
        """
        # One column after the other in memory, since it is columns that are gathered.
        by_column = np.ascontiguousarray(reported.T)
        return [self._findings(rule, by_column) for rule in self.rules]

    def _findings(self, rule: LabelRule, by_column: npt.NDArray[np.uint8]) -> Findings:
        columns = self._places[rule.abnormality]

        def anywhere_in(locations: Iterable[str]) -> BoolArray:
            chosen = [columns[name] for name in locations if name in columns]
            return np.asarray(np.bitwise_or.reduce(by_column[chosen], axis=0) > 0)

        if rule.organs and rule.organs != _LUNGS:
            organs = {organ: anywhere_in(ORGAN_LOCATIONS[organ]) for organ in rule.organs}
            return Findings(_any(organs), organs)
        organs = {lung: anywhere_in(ORGAN_LOCATIONS[lung]) for lung in _LUNGS}
        a_side = _any(organs)
        if rule.abnormality in LUNG_SPECIFIC:
            anywhere = anywhere_in(columns)
            both = anywhere if self.sides == "reference" else anywhere & ~a_side
        elif rule.organs:
            # A nodule of which no side is told may lie in the liver.
            both = np.zeros_like(a_side)
        else:
            both = anywhere_in(_BOTH_LUNGS) & ~a_side
        organs = {lung: told | both for lung, told in organs.items()}
        if rule.organs:
            return Findings(_any(organs), organs)
        if rule.abnormality not in LUNG_SPECIFIC:
            elsewhere = ORGAN_LOCATIONS.keys() - set(_LUNGS)
            organs |= {organ: anywhere_in(ORGAN_LOCATIONS[organ]) for organ in sorted(elsewhere)}
        return Findings(anywhere_in(columns), organs)


def _any(organs: dict[str, BoolArray]) -> BoolArray:
    return np.asarray(np.logical_or.reduce(list(organs.values())))
