"""Which cells of a network's maps a label may draw on, worked out from the organs of its CT.

The cells are on the network's own axes, as the mask loss wants them. A cell lies where the map
that the window draws has it: by the receptive field, or stretched over the input as the paper
does it; padding, cropping, resampling and turning are in the input's affine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np

from napari_hirescam.attention.cells import patient_affine, to_patient_axes
from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.cells import (
    RESIZE_MODES,
    PlaceRule,
    cells_inside,
    reference_cells,
)
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.volume import FloatArray, Grid, Shape3D, resample

if TYPE_CHECKING:
    from napari_hirescam.attention.result import PlacementName
    from napari_hirescam.models.classifier import Classifier
    from napari_hirescam.models.preprocess import ModelInput

#: When a cell belongs to a region; the last three are the ways of the paper's code.
RegionRule = Literal["half", "touch", "centre", "nearest", "area", "trilinear"]
RULES: tuple[RegionRule, ...] = get_args(RegionRule)


@dataclass(frozen=True, eq=False)
class CellPlaces:
    """Where the cells of a network's target layer lie in its input.

    Small and picklable, so that whatever process prepares a CT can have one.

    Parameters
    ----------
    placement
        "receptive_field" or "stretch"; see :mod:`napari_hirescam.attention.placement`.
    cells
        Their number along the input's axes, for an input of `input_shape`.
    input_shape
        Images (or slices), rows and columns of the input that `cells` belongs to.
    to_input
        4x4, cell index to input index, along the tensor's axes, for an input of `input_shape`.
    """

    placement: PlacementName
    cells: Shape3D
    input_shape: Shape3D
    to_input: FloatArray

    @classmethod
    def of(cls, classifier: Classifier, placement: PlacementName = "receptive_field") -> CellPlaces:
        """Work out where the cells of a classifier's target layer lie.

        Raises
        ------
        AttributionError
            The layer's output is no map of the image.
        SettingsError
            The receptive field is asked for, and it cannot be found.
        """
        import torch

        from napari_hirescam.attention.cells import place_cells
        from napari_hirescam.attention.raw import features_first
        from napari_hirescam.errors import SettingsError
        from napari_hirescam.models.preprocess import ModelInput

        spec = classifier.spec
        run = classifier.dry_run
        map_shape = features_first(torch.empty(run.activation_shape, device="meta")).shape[1:]
        cells = (map_shape[0], map_shape[1], map_shape[2])
        given = torch.empty(classifier.input_shape, device="meta")
        images = given.shape[1] if spec.input.layout == "axial_triples" else _depth(given.shape)
        voxels = images * 3 if spec.input.layout == "axial_triples" else images
        grid = Grid((voxels, given.shape[-2], given.shape[-1]), np.eye(4))
        # On such a grid millimetres are indices of the input.
        unplaced = ModelInput(given, np.eye(4), grid, spec.input.layout)
        affines, note, _ = place_cells(classifier, unplaced, cells)
        if placement not in affines:
            raise SettingsError(
                spec.name,
                f"where the cells of {spec.target_layer} lie is not known: {note}",
                "Choose placement 'stretch', or another target layer",
            )
        return cls(placement, cells, unplaced.spatial_shape, affines[placement])

    def on(self, model_input: ModelInput) -> tuple[Shape3D, FloatArray]:
        """Place the cells in the patient: their number, and 4x4 from their index to (I, P, L) mm.

        Raises
        ------
        ValueError
            If the input's shape is another, and the number of its cells is not known.
        """
        shape = model_input.spatial_shape
        cells, to_input = self.cells, self.to_input
        if shape != self.input_shape:
            # A network that takes any number of slices has a layer of cells for each.
            if shape[1:] != self.input_shape[1:] or cells[0] != self.input_shape[0]:
                raise ValueError(f"cells of an input of {self.input_shape}, not of {shape}")
            # In both placements cell k then is slice k, however many there are.
            cells = (shape[0], cells[1], cells[2])
        return cells, model_input.affine @ to_input


def _depth(shape: Sequence[int]) -> int:
    """Slices of an input [1, C, d, h, w] or [S, C, h, w]."""
    return shape[2] if len(shape) == 5 else shape[0]


def allowed_on_cells(
    organs: OrganMap,
    allowed: Mapping[str, Sequence[str]],
    labels: Sequence[str],
    model_input: ModelInput,
    places: CellPlaces,
    rule: RegionRule = "half",
    *,
    dilate: bool = False,
) -> BoolArray:
    """Say in which cells each label of a CT may have attention.

    Parameters
    ----------
    organs
        On the CT's grid.
    allowed
        Label -> organs it may lie in, for the labels that are present. All others get no cell:
        what is absent is nowhere.
    labels
        In the order of the network's outputs.
    model_input
        The CT as it is given to the network.
    places
        Where the cells lie in the input.
    rule
        "half", "touch", "centre": how much of a cell's box must lie in the organs, see
        :func:`~napari_hirescam.organs.cells.cells_inside`. "nearest", "area", "trilinear": how
        the paper's code makes the mask small, see
        :func:`~napari_hirescam.organs.cells.reference_cells`; only where the cells are
        stretched over the input.
    dilate
        For the paper's ways: widen the region by one cell.

    Returns
    -------
    bool [K, d, h, w] on the network's own axes.

    Raises
    ------
    OrganError
        The map does not tell of an organ.
    ValueError
        A rule of the paper's code with another placement, or an unknown one; an input of
        another shape than the cells belong to.
    """
    groups: dict[frozenset[str], list[str]] = {}
    for label, names in allowed.items():
        groups.setdefault(frozenset(names), []).append(label)
    regions = {
        label: region
        for names, sharing in groups.items()
        if set(sharing) & set(labels)
        for region in [
            _region(organs.mask(names), organs.affine, model_input, places, rule, dilate=dilate)
        ]
        for label in sharing
    }
    return _stacked(regions, labels, model_input, places)


def masks_on_cells(
    masks: Mapping[str, BoolArray],
    affine: FloatArray,
    labels: Sequence[str],
    model_input: ModelInput,
    places: CellPlaces,
    rule: RegionRule = "half",
    *,
    dilate: bool = False,
) -> BoolArray:
    """Say the same from a mask for each present label: outlines of the findings, say.

    Parameters
    ----------
    masks
        Label -> bool [slice, row, column].
    affine
        4x4, index of the masks to (I, P, L) mm.
    labels, model_input, places, rule, dilate
        As in :func:`allowed_on_cells`; returns and raises the same.
    """
    regions = {
        label: _region(mask, affine, model_input, places, rule, dilate=dilate)
        for label, mask in masks.items()
        if label in labels
    }
    return _stacked(regions, labels, model_input, places)


def labels_that_count(
    labels: Sequence[str], known: Mapping[str, bool], allowed: BoolArray
) -> BoolArray:
    """Say which labels of a CT the mask loss can judge, bool [K].

    Those that are known, unless they are present without a cell to be in (the organ lies outside
    the network's input, or is too small for the rule): scores would be asked to rise and all
    attention to fall.

    Parameters
    ----------
    labels
        In the order of the network's outputs.
    known
        Label -> whether it is present; without those that are not known.
    allowed
        bool [K, d, h, w] of this CT.
    """
    return np.array(
        [
            label in known and (not known[label] or bool(cells.any()))
            for label, cells in zip(labels, allowed, strict=True)
        ],
        dtype=bool,
    )


def _stacked(
    regions: Mapping[str, BoolArray],
    labels: Sequence[str],
    model_input: ModelInput,
    places: CellPlaces,
) -> BoolArray:
    nowhere = np.zeros(places.on(model_input)[0], dtype=bool)
    return np.stack([regions.get(label, nowhere) for label in labels])


def _region(
    mask: BoolArray,
    affine: FloatArray,
    model_input: ModelInput,
    places: CellPlaces,
    rule: RegionRule,
    *,
    dilate: bool,
) -> BoolArray:
    cells, to_patient = places.on(model_input)
    if rule in RESIZE_MODES:
        if places.placement != "stretch":
            raise ValueError(f"rule {rule!r} stretches the cells: use it with placement 'stretch'")
        on_input = resample(mask.astype(np.uint8), affine, model_input.voxel_grid, order=0)
        return reference_cells(on_input > 0, cells, rule, dilate=dilate)
    if dilate:
        raise ValueError(f"cells are not dilated under rule {rule!r}: use 'touch'")
    return _on_network_axes(
        cells,
        to_patient,
        lambda grid: cells_inside(mask, affine, grid, cast("PlaceRule", rule)),
    )


def _on_network_axes(
    cells: Shape3D, to_patient: FloatArray, find: Callable[[Grid], BoolArray]
) -> BoolArray:
    """Ask about cells in the patient's axes, and bring the answers to the network's."""
    number = np.arange(np.prod(cells)).reshape(1, *cells)
    turned = to_patient_axes(number, to_patient)[0].astype(np.intp)
    grid = Grid(
        (turned.shape[0], turned.shape[1], turned.shape[2]), patient_affine(to_patient, cells)
    )
    result = np.empty(cells, dtype=bool)
    result.flat[turned] = find(grid)
    return result
