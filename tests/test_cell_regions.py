"""Which cells a label may draw on: by place in the patient, and as the paper's code has it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ConvThenLinear, classifier_of, plain_input, random_ct
from torch import nn

from napari_hirescam.attention import explain
from napari_hirescam.attention.cells import to_patient_axes
from napari_hirescam.errors import OrganError, SettingsError
from napari_hirescam.models.axialnet import AxialNet
from napari_hirescam.models.preprocess import prepare
from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.cells import cells_inside, reference_cells
from napari_hirescam.training.regions import (
    CellPlaces,
    allowed_on_cells,
    labels_that_count,
    masks_on_cells,
)
from napari_hirescam.volume import Grid, Volume, scaling, translation

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("IS", "PA", "LR"))
    for letters in itertools.product(*axes)
]


def grid(shape, spacing: float, first: float = 0.0) -> Grid:
    return Grid(shape, translation([first] * 3) @ scaling([spacing] * 3))


class TestCellsInside:
    def test_half_a_cell_is_enough_and_less_is_not(self) -> None:
        mask = np.zeros((4, 4, 4), dtype=bool)
        mask[:2] = True  # from -0.5 to 1.5 mm
        for shift, inside in ((0.0, True), (1.0, True), (1.01, False)):
            # One cell of 2 mm, from -0.5 + shift on: 100 %, 50 % and 49.5 % of it are covered.
            cell = Grid((1, 1, 1), translation((0.5 + shift, 1.5, 1.5)) @ scaling([2.0] * 3))
            assert cells_inside(mask, np.eye(4), cell)[0, 0, 0] == inside

    def test_a_shared_face_is_no_touch(self) -> None:
        mask = np.zeros((4, 1, 1), dtype=bool)
        mask[1] = True  # from 0.5 to 1.5 mm
        cells = grid((4, 1, 1), 1.0)
        assert cells_inside(mask, np.eye(4), cells, "touch").ravel().tolist() == [0, 1, 0, 0]
        shifted = Grid((4, 1, 1), translation((0.01, 0, 0)))
        assert cells_inside(mask, np.eye(4), shifted, "touch").ravel().tolist() == [1, 1, 0, 0]

    def test_outside_the_volume_no_cell_is_inside(self) -> None:
        mask, cells = np.ones((2, 2, 2), dtype=bool), grid((6, 1, 1), 1.0, first=-2.0)
        cells = Grid((6, 1, 1), translation((-2.0, 0, 0)))
        for rule in ("half", "touch", "centre"):
            found = cells_inside(mask, np.eye(4), cells, rule).ravel().tolist()
            assert found == [0, 0, 1, 1, 0, 0]

    @given(
        seed=st.integers(0, 1000),
        spacing=st.floats(0.4, 3.0),
        first=st.floats(-2.0, 2.0),
        share=st.floats(0.0, 1.0),
    )
    @settings(max_examples=40, deadline=None)
    def test_it_agrees_with_fine_points(self, seed, spacing, first, share) -> None:
        """A cell's box filled with 8 x 8 x 8 points, and each point's voxel looked up."""
        mask = np.random.default_rng(seed).random((4, 5, 3)) < share
        cells = grid((5, 4, 4), spacing, first)
        n = 8
        offsets = (np.arange(n) + 0.5) / n - 0.5

        def at(points: np.ndarray) -> np.ndarray:
            index = np.floor(points + 0.5).astype(int)
            there = ((index >= 0) & (index < mask.shape)).all(axis=-1)
            return there & mask[tuple(np.where(there[..., None], index, 0).T)].T

        for place in itertools.product(*map(range, cells.shape)):
            centre = first + spacing * np.array(place)
            points = centre + spacing * np.stack(
                np.meshgrid(offsets, offsets, offsets, indexing="ij"), axis=-1
            ).reshape(-1, 3)
            covered = at(points).mean()
            half = cells_inside(mask, np.eye(4), cells, "half")[place]
            # Points tell the share to 3 / (2 n); closer to a half they cannot decide.
            assert half == (covered >= 0.5) or abs(covered - 0.5) < 3 / (2 * n)
            if covered > 0:
                assert cells_inside(mask, np.eye(4), cells, "touch")[place]
            near_a_face = np.abs((centre + 0.5) % 1.0) < 1e-6
            assert near_a_face.any() or (
                cells_inside(mask, np.eye(4), cells, "centre")[place] == at(centre[None])[0]
            )

    def test_a_centre_on_a_face_belongs_to_the_voxel_behind_it_whatever_rounding_says(self) -> None:
        spacing = 0.7  # 1.5 voxels, in mm and back, are a hair less than 1.5
        behind = np.broadcast_to(np.arange(96) % 4 == 2, (1, 1, 96))
        affine = scaling((1.0, 1.0, spacing))
        cells = Grid((1, 1, 24), translation((0, 0, 1.5 * spacing)) @ scaling((1, 1, 4 * spacing)))

        assert cells_inside(behind, affine, cells, "centre").all()

    def test_an_empty_mask_has_no_cells(self) -> None:
        nothing = np.zeros((3, 3, 3), dtype=bool)
        for rule in ("half", "touch", "centre"):
            assert not cells_inside(nothing, np.eye(4), grid((2, 2, 2), 1.0), rule).any()

    def test_what_it_does_not_know_it_refuses(self) -> None:
        mask = np.ones((2, 2, 2), dtype=bool)
        with pytest.raises(ValueError, match="unknown rule"):
            cells_inside(mask, np.eye(4), grid((2, 2, 2), 1.0), "most")
        turned = Grid((2, 2, 2), np.diag([1.0, -1.0, 1.0, 1.0]))
        for rule in ("half", "centre"):
            with pytest.raises(ValueError, match="axes run along"):
                cells_inside(mask, np.eye(4), turned, rule)


class TestReferenceCells:
    def test_nearest_takes_the_corners(self) -> None:
        """Rows 0, 70, ..., 350 of 420, and slice 3k of a triple."""
        for row in range(0, 420, 35):
            mask = np.zeros((6, 420, 420), dtype=bool)
            mask[:, row] = True
            expected = [row % 70 == 0 and k == row // 70 for k in range(6)]
            assert reference_cells(mask, (2, 6, 6))[0, :, 0].tolist() == expected
        for index in range(6):
            mask = np.zeros((6, 6, 6), dtype=bool)
            mask[index] = True
            assert reference_cells(mask, (2, 6, 6)).any() == (index % 3 == 0)

    def test_the_papers_rough_regions(self) -> None:
        """Heart: columns 1 to 4 of 6; right lung: 0 to 2; left lung: 3 to 5."""
        rough = {"heart": (70, 350, [0, 1, 1, 1, 1, 0])}
        rough |= {"right": (0, 210, [1, 1, 1, 0, 0, 0]), "left": (210, 420, [0, 0, 0, 1, 1, 1])}
        for start, stop, row in rough.values():
            mask = np.zeros((9, 420, 420), dtype=bool)
            mask[..., start:stop] = True
            small = reference_cells(mask, (3, 6, 6))
            assert (small == np.array(row, dtype=bool)).all()

    def test_area_takes_any_voxel_of_the_block(self) -> None:
        mask = np.random.default_rng(0).random((6, 12, 12)) < 0.02
        blocks = mask.reshape(2, 3, 6, 2, 6, 2).any(axis=(1, 3, 5))
        assert np.array_equal(reference_cells(mask, (2, 6, 6), "area"), blocks)

    def test_trilinear_takes_what_the_four_middle_voxels_have(self) -> None:
        """Blocks of 3 x 4 x 4: the middle slice, and two rows and columns about the centre."""
        mask = np.random.default_rng(0).random((6, 24, 24)) < 0.1
        middle = mask.reshape(2, 3, 6, 4, 6, 4)[:, 1, :, 1:3, :, 1:3]
        assert np.array_equal(
            reference_cells(mask, (2, 6, 6), "trilinear"), middle.any(axis=(2, 4))
        )

    def test_one_voxel_widened_fills_its_neighbourhood(self) -> None:
        mask = np.zeros((3, 3, 3), dtype=bool)
        mask[1, 1, 1] = True
        assert reference_cells(mask, (3, 3, 3), dilate=True).all()
        corner = np.zeros((4, 4, 4), dtype=bool)
        corner[0, 0, 0] = True
        expected = np.zeros((4, 4, 4), dtype=bool)
        expected[:2, :2, :2] = True
        assert np.array_equal(reference_cells(corner, (4, 4, 4), dilate=True), expected)

    def test_what_it_does_not_know_it_refuses(self) -> None:
        with pytest.raises(ValueError, match="unknown mode"):
            reference_cells(np.ones((2, 2, 2), dtype=bool), (1, 1, 1), "bicubic")
        with pytest.raises(ValueError, match="three axes"):
            reference_cells(np.ones((2, 2), dtype=bool), (1, 1, 1))


class Blocks(nn.Module):
    """Cells are blocks of voxels of the input, without a border; then one linear layer."""

    def __init__(self, shape, block) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 2, block, stride=block)
        cells = np.prod([n // size for n, size in zip(shape, block, strict=True)])
        self.fc = nn.Linear(2 * int(cells), 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).flatten(1))


def blocks(shape=(12, 12, 12), block=(3, 3, 3), **input_settings):
    spec = plain_input(shape, **input_settings)
    return classifier_of(Blocks(shape, block), "conv", spec, 3)


def tiny_axialnet(slices: int | None = 12):
    """Cells of 6 x 6 over 60 x 60: what each sees is not where a stretched map has it."""
    torch.manual_seed(0)
    network = AxialNet(3, grid=6, trunk_channels=(2,) * 4, trunk_stages=1, conv_channels=(2,) * 4)
    spec = plain_input((slices, 54, 54), layout="axial_triples")
    return classifier_of(network, "conv2d.7", spec, 3)


def organs_of(volume: Volume, **masks: np.ndarray) -> OrganMap:
    return OrganMap.from_masks(masks, volume.affine, "a test")


def ct_of(shape, spacing=(1.0, 1.0, 1.0), first=(0.0, 0.0, 0.0)) -> Volume:
    affine = translation(first) @ scaling(spacing)
    return Volume(np.zeros(shape, np.int16), affine, "ct")


def part(shape, *slices: slice) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[slices] = True
    return mask


class TestOnTheNetwork:
    @pytest.mark.parametrize("placement", ["receptive_field", "stretch"])
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_an_organ_whose_place_is_known(self, orientation: str, placement) -> None:
        """The eighth of the CT that lies superior, posterior and left, whatever axes run where."""
        ct = ct_of((12, 12, 12), (2.0, 1.5, 1.0), (-40.0, 7.0, 300.0))
        organ = part(ct.voxels.shape, slice(6), slice(6, None), slice(6, None))
        classifier = blocks(orientation=orientation)
        found = allowed_on_cells(
            organs_of(ct, organ=organ),
            {"label 1": ("organ",)},
            classifier.labels,
            classifier.prepare(ct),
            CellPlaces.of(classifier, placement),
        )
        # Of four cells along an axis that grows towards the organ, the last two.
        two = [slice(2, None) if letter in "SPL" else slice(2) for letter in orientation]
        assert np.array_equal(found[1], part((4, 4, 4), *two))
        assert not found[[0, 2]].any()

    @pytest.mark.parametrize("rule", ["half", "touch", "centre"])
    @pytest.mark.parametrize("orientation", ["IPL", "SAR", "LIP"])
    def test_cells_lie_where_explain_has_them(self, orientation: str, rule) -> None:
        """What a map that is drawn in the patient says of a mask, the training says as well."""
        ct = random_ct((14, 13, 17), (2.5, 1.2, 0.9))
        mask = np.random.default_rng(0).random(ct.voxels.shape) < 0.5
        mask[:, :, :9] = False
        classifier = classifier_of(
            ConvThenLinear((8, 8, 8)), "act2", plain_input((8, 8, 8), orientation=orientation), 3
        )
        model_input = classifier.prepare(ct)
        explanation = explain(ct, classifier)
        for placement in ("receptive_field", "stretch"):
            places = CellPlaces.of(classifier, placement)
            found = masks_on_cells(
                {"label 0": mask}, ct.affine, classifier.labels, model_input, places, rule
            )
            cells = Grid(explanation.maps["hirescam"].shape[1:], explanation.affines[placement])
            expected = cells_inside(mask, ct.affine, cells, rule)
            to_patient = places.on(model_input)[1]
            assert np.array_equal(to_patient_axes(found, to_patient)[0], expected)
            assert expected.any()
            assert not expected.all()

    def test_axialnets_cells_lie_elsewhere_than_the_paper_stretches_them(self) -> None:
        ct = ct_of((12, 54, 54))
        strip = part(ct.voxels.shape, slice(None), slice(None), slice(9))
        classifier = tiny_axialnet()
        model_input = classifier.prepare(ct)
        columns = {}
        for placement in ("receptive_field", "stretch"):
            places = CellPlaces.of(classifier, placement)
            found = masks_on_cells(
                {"label 0": strip}, ct.affine, classifier.labels, model_input, places
            )[0]
            assert found.shape == (4, 6, 6)
            assert (found == found[:1, :1]).all()
            columns[placement] = found[0, 0].tolist()
        # Stretched, a cell is 9 columns wide. What the first one sees is centred at column 16.
        assert columns["stretch"] == [1, 0, 0, 0, 0, 0]
        assert columns["receptive_field"] == [0, 0, 0, 0, 0, 0]

    def test_a_region_is_the_union_of_its_organs_and_of_present_labels_only(self) -> None:
        ct = ct_of((12, 12, 12))
        top, bottom = part((12, 12, 12), slice(3)), part((12, 12, 12), slice(9, 12))
        classifier = blocks()
        found = allowed_on_cells(
            organs_of(ct, top=top, bottom=bottom),
            {"label 0": ("bottom", "top"), "label 2": ("top",), "not an output": ("bottom",)},
            classifier.labels,
            classifier.prepare(ct),
            CellPlaces.of(classifier),
        )
        assert found[:, :, 0, 0].tolist() == [[1, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]

    def test_resampled_cts(self) -> None:
        """0.5 mm slices, read by a network at 2 mm: a cell is 6 mm, or 12 slices, thick."""
        ct = ct_of((48, 12, 12), (0.5, 2.0, 2.0))
        organ = part(ct.voxels.shape, slice(12, 24))
        classifier = blocks(spacing_mm=(2.0, 2.0, 2.0))
        found = masks_on_cells(
            {"label 0": organ},
            ct.affine,
            classifier.labels,
            classifier.prepare(ct),
            CellPlaces.of(classifier),
            "centre",
        )
        assert found[0, :, 0, 0].tolist() == [0, 1, 0, 0]

    def test_beyond_the_ct_nothing_is_allowed(self) -> None:
        """Four slices lie in the middle of twelve; padding belongs to no organ."""
        ct = ct_of((4, 12, 12))
        classifier = blocks(block=(2, 3, 3))
        for placement, rule in (("receptive_field", "half"), ("stretch", "nearest")):
            found = masks_on_cells(
                {"label 0": np.ones((4, 12, 12), dtype=bool)},
                ct.affine,
                classifier.labels,
                classifier.prepare(ct),
                CellPlaces.of(classifier, placement),
                rule,
            )
            assert found[0, :, 0, 0].tolist() == [0, 0, 1, 1, 0, 0]

    @pytest.mark.parametrize("placement", ["receptive_field", "stretch"])
    def test_any_number_of_slices(self, placement) -> None:
        classifier = tiny_axialnet(None)
        places = CellPlaces.of(classifier, placement)
        for slices in (9, 12, 60):
            ct = ct_of((slices, 54, 54))
            organ = part(ct.voxels.shape, slice(3, 6))
            rules = ["half"] if placement == "receptive_field" else ["half", "nearest"]
            for rule in rules:
                found = masks_on_cells(
                    {"label 0": organ},
                    ct.affine,
                    classifier.labels,
                    prepare(ct, classifier.spec.input),
                    places,
                    rule,
                )
                assert found.shape == (3, slices // 3, 6, 6)
                assert found[0, :, 3, 3].tolist() == [k == 1 for k in range(slices // 3)]


def small_mask_by_hand(mask: np.ndarray, shape, cells, mode: str, *, dilate: bool) -> np.ndarray:
    """The paper's way, step by step: pad, crop, resize, not zero, dilate."""
    for axis, target in enumerate(shape):
        n = mask.shape[axis]
        if n < target:
            before = int((target - n) / 2)
            widths = [(0, 0)] * 3
            widths[axis] = (before, target - n - before)
            mask = np.pad(mask, widths)
        else:
            start = int((n - target) / 2)
            mask = np.take(mask, range(start, start + target), axis=axis)
    if mode == "nearest":
        picked = [np.arange(m) * n // m for n, m in zip(shape, cells, strict=True)]
        small = mask[np.ix_(*picked)]
    else:
        small = mask.reshape(cells[0], 3, cells[1], 2, cells[2], 2).any(axis=(1, 3, 5))
    if dilate:
        wide = np.pad(small, 1)
        small = np.zeros_like(small)
        for dz, dy, dx in itertools.product(range(3), repeat=3):
            d, h, w = small.shape
            small |= wide[dz : dz + d, dy : dy + h, dx : dx + w]
    return small


@given(
    shape=st.tuples(st.integers(4, 16), st.integers(6, 18), st.integers(6, 18)),
    seed=st.integers(0, 1000),
    mode=st.sampled_from(["nearest", "area"]),
    dilate=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_the_papers_small_masks(shape, seed, mode, dilate) -> None:
    """Larger or smaller than the input, by odd and even numbers, against brute force."""
    mask = np.random.default_rng(seed).random(shape) < 0.15
    ct = ct_of(shape, (0.8, 0.8, 0.8), (5.0, -7.0, 11.0))
    spec = plain_input((9, 12, 12), layout="axial_triples")
    places = CellPlaces("stretch", (3, 6, 6), (3, 12, 12), np.eye(4))
    found = masks_on_cells(
        {"a": mask}, ct.affine, ("a",), prepare(ct, spec), places, mode, dilate=dilate
    )
    expected = small_mask_by_hand(mask, (9, 12, 12), (3, 6, 6), mode, dilate=dilate)
    assert np.array_equal(found[0], expected)


class TestLabelsThatCount:
    def test_known_and_absent_or_present_with_cells(self) -> None:
        allowed = np.zeros((4, 2, 2, 2), dtype=bool)
        allowed[0, 1, 1, 1] = True
        known = {"somewhere": True, "nowhere": True, "absent": False}
        found = labels_that_count(("somewhere", "nowhere", "absent", "unknown"), known, allowed)
        assert found.tolist() == [True, False, True, False]


class TestRefusals:
    def test_an_organ_that_the_map_does_not_tell_of(self) -> None:
        ct, classifier = ct_of((12, 12, 12)), blocks()
        organs = organs_of(ct, heart=np.ones((12, 12, 12), dtype=bool))
        with pytest.raises(OrganError, match="lungs"):
            allowed_on_cells(
                organs,
                {"label 0": ("lungs",)},
                classifier.labels,
                classifier.prepare(ct),
                CellPlaces.of(classifier),
            )

    def refused(self, places: CellPlaces, rule: str, shape=(12, 12, 12), **more) -> None:
        classifier = blocks(shape)
        ct = ct_of(shape)
        masks_on_cells(
            {"label 0": np.ones(shape, dtype=bool)},
            ct.affine,
            classifier.labels,
            classifier.prepare(ct),
            places,
            rule,
            **more,
        )

    def test_rules_of_the_paper_belong_to_its_placement(self) -> None:
        places = CellPlaces.of(blocks(), "receptive_field")
        with pytest.raises(ValueError, match="'stretch'"):
            self.refused(places, "nearest")
        with pytest.raises(ValueError, match="not dilated"):
            self.refused(places, "half", dilate=True)
        with pytest.raises(ValueError, match="unknown rule"):
            self.refused(places, "most")

    def test_an_input_that_the_cells_do_not_belong_to(self) -> None:
        with pytest.raises(ValueError, match="cells of an input"):
            self.refused(CellPlaces.of(blocks()), "half", shape=(12, 12, 15))

    def test_a_receptive_field_that_nobody_knows(self) -> None:
        class Shuffled(nn.Module):
            """Cells read voxels from all over: they have no place."""

            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv3d(1, 2, 1)
                draw = torch.Generator().manual_seed(0)
                self.register_buffer("order", torch.randperm(1728, generator=draw))
                self.fc = nn.Linear(2 * 1728, 3)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                x = x.flatten(2)[:, :, self.order].reshape(x.shape)
                return self.fc(self.conv(x).flatten(1))

        classifier = classifier_of(Shuffled(), "conv", plain_input((12, 12, 12)), 3)
        with pytest.raises(SettingsError, match="not known"):
            CellPlaces.of(classifier)
        assert CellPlaces.of(classifier, "stretch").cells == (12, 12, 12)
