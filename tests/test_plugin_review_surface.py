"""The surface of a mask as a mesh: where it lies, which way it faces, what it encloses."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hirescam.errors import Cancelled
from napari_hirescam.plugin.reviewing.mask_surface import Mesh, surface_of

SPACING, ORIGIN = np.array((3.0, 0.8, 0.9)), np.array((-200.0, 30.0, -50.0))
AFFINE = np.eye(4)
AFFINE[:3, :3] = np.diag(SPACING)
AFFINE[:3, 3] = ORIGIN


def ball(radius_mm: float, centre_mm: tuple[float, ...], shape=(40, 120, 110)) -> np.ndarray:
    index = np.moveaxis(np.indices(shape), 0, -1)
    return np.linalg.norm(index * SPACING + ORIGIN - centre_mm, axis=-1) < radius_mm


def enclosed_mm3(mesh: Mesh) -> float:
    """The volume inside by the divergence theorem; below 0 where the triangles face inwards."""
    corners = mesh.vertices_mm[mesh.faces] - mesh.vertices_mm.mean(0)
    spat = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return float(spat.sum() / 6)


def test_a_ball_lies_where_it_lies_and_keeps_its_volume():
    centre = (-140.0, 75.0, 0.0)
    mask = ball(30.0, centre)

    mesh = surface_of(mask, AFFINE)

    assert enclosed_mm3(mesh) == pytest.approx(mask.sum() * SPACING.prod(), rel=0.02)
    assert mesh.vertices_mm.mean(0) == pytest.approx(centre, abs=1.0)
    distance = np.linalg.norm(mesh.vertices_mm - centre, axis=1)
    assert distance == pytest.approx(np.full(len(distance), 30.0), abs=2.5)


def test_triangles_face_outwards_and_leave_no_hole():
    mesh = surface_of(ball(20.0, (-140.0, 75.0, 0.0)), AFFINE)

    assert enclosed_mm3(mesh) > 0
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _edges, times = np.unique(edges, axis=0, return_counts=True)
    assert set(times) == {2}


def test_a_mask_that_the_ct_cuts_off_is_closed_there():
    mask = np.zeros((10, 20, 20), bool)
    mask[:5, :8, :] = True

    mesh = surface_of(mask, AFFINE)

    expected = np.array([[0, 5], [0, 8], [0, 20]]) - 0.5
    low, high = ORIGIN + expected[:, 0] * SPACING, ORIGIN + expected[:, 1] * SPACING
    assert mesh.vertices_mm.min(0) == pytest.approx(low, abs=0.5)
    assert mesh.vertices_mm.max(0) == pytest.approx(high, abs=0.5)


def test_a_fine_mask_of_a_large_organ_gives_a_coarse_mesh():
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    mask = np.zeros((300, 220, 220), np.uint8)
    mask[10:290, 10:210, 10:210] = 1

    mesh = surface_of(mask, affine)

    assert len(mesh.faces) < 120_000
    assert enclosed_mm3(mesh) == pytest.approx(mask.sum() / 8, rel=0.01)


def test_an_empty_mask_has_no_surface():
    assert surface_of(np.zeros((4, 5, 6), bool), AFFINE) is None


def test_one_voxel_has_a_surface():
    mask = np.zeros((4, 5, 6), bool)
    mask[1, 2, 3] = True

    mesh = surface_of(mask, AFFINE)

    assert mesh.vertices_mm.mean(0) == pytest.approx(ORIGIN + SPACING * (1, 2, 3))


def test_what_is_thinner_than_the_cells_has_a_surface():
    mask = np.zeros((20, 200, 200), bool)
    along = np.arange(200)
    mask[along // 10, along, along] = True
    mesh = surface_of(mask, np.diag((2.5, 0.7, 0.7, 1.0)))
    assert mesh is not None
    assert np.allclose(mesh.vertices_mm.min(axis=0), 0, atol=3)
    assert np.allclose(mesh.vertices_mm.max(axis=0), (47.5, 139.3, 139.3), atol=3)


def test_it_stops_when_asked():
    with pytest.raises(Cancelled):
        surface_of(np.ones((4, 5, 6), bool), AFFINE, should_stop=lambda: True)
