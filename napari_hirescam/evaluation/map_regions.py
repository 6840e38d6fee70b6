"""Which cells of a map lie in an organ or a lesion, each worked out once per CT."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention import Explanation
from napari_hirescam.attention.cells import to_patient_axes
from napari_hirescam.attention.result import PlacementName
from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.cells import (
    PLACE_RULES,
    RESIZE_MODES,
    PlaceRule,
    ResizeMode,
    cells_inside,
    covered_fraction,
    reference_cells,
)
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.volume import FloatArray, Grid, Shape3D, resample

#: How a cell becomes allowed: by its place in the patient, or as the paper's code resizes masks.
Rule = PlaceRule | ResizeMode
RULES: tuple[Rule, ...] = (*PLACE_RULES, *RESIZE_MODES)
RuleName = Literal["half", "touch", "centre", "nearest", "area", "trilinear"]


class MapRegions:
    """The cells of one explanation's maps, and what lies in them.

    Parameters
    ----------
    explanation
        Of one CT.
    organs
        Of that CT; None if nobody knows them.
    placement
        Where the cells lie; None takes the explanation's own default.
    rule
        When a cell counts as allowed. The rules of the paper's code ("nearest", "area",
        "trilinear") resize the mask to the cells, and so belong to placement "stretch".

    Raises
    ------
    ValueError
        The rule is unknown, or does not belong to the placement; the placement is not known of
        this explanation.
    """

    def __init__(
        self,
        explanation: Explanation,
        organs: OrganMap | None,
        placement: PlacementName | None = None,
        rule: Rule = "half",
    ) -> None:
        self.placement: PlacementName = placement or explanation.default_placement
        if rule not in RULES:
            raise ValueError(f"unknown rule {rule!r}; known are {', '.join(RULES)}")
        if self.placement not in explanation.affines:
            raise ValueError(f"placement {self.placement!r}: {explanation.placement_note}")
        if rule in RESIZE_MODES and self.placement != "stretch":
            raise ValueError(f"rule {rule!r} belongs to placement 'stretch'")
        self.rule = rule
        self.organs = organs
        shape = next(iter(explanation.maps.values())).shape[1:]
        self.cells = Grid(shape, explanation.affines[self.placement])
        self._input = explanation.input_grid
        self._fractions: dict[tuple[str, ...], npt.NDArray[np.float64]] = {}
        self._allowed: dict[tuple[str, ...], BoolArray] = {}

    def fraction(self, organs: Iterable[str]) -> npt.NDArray[np.float64]:
        """How much of each cell's box lies in any of some organs, float64 [d, h, w].

        Raises
        ------
        OrganError
            The organ map does not tell of one of them.
        ValueError
            There is no organ map.
        """
        key = tuple(sorted(organs))
        if key not in self._fractions:
            mask, affine = self._mask(key)
            self._fractions[key] = covered_fraction(mask, affine, self.cells)
        return self._fractions[key]

    def allowed(self, organs: Iterable[str]) -> BoolArray:
        """Which cells count as lying in any of some organs, bool [d, h, w]; raises as above."""
        key = tuple(sorted(organs))
        if key not in self._allowed:
            mask, affine = self._mask(key)
            if self.rule == "nearest" or self.rule == "area" or self.rule == "trilinear":
                found = self._resized(mask, affine, self.rule)
            else:
                found = cells_inside(mask, affine, self.cells, self.rule)
            self._allowed[key] = found
        return self._allowed[key]

    def _mask(self, organs: tuple[str, ...]) -> tuple[BoolArray, FloatArray]:
        if self.organs is None:
            raise ValueError("nobody knows where the organs of this CT lie")
        return self.organs.mask(organs), self.organs.affine

    def _resized(self, mask: BoolArray, affine: FloatArray, mode: ResizeMode) -> BoolArray:
        """Resize a mask to the cells along the network's own axes, corners first."""
        seen = resample(mask.view(np.uint8), affine, self._input, order=0, outside=0).astype(bool)
        lengths = [0, 0, 0]
        for axis, length in enumerate(self.cells.shape):
            lengths[int(np.argmax(np.abs(self._input.affine[axis, :3])))] = length
        shape: Shape3D = (lengths[0], lengths[1], lengths[2])
        small = reference_cells(seen, shape, mode)
        turned = to_patient_axes(small[None].astype(np.float32), self._input.affine)
        return np.asarray(turned[0] > 0)
