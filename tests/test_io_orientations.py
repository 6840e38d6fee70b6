"""All 48 ways to lay a volume's axes along the patient's, in every format, and oblique ones.

Each file is written by another library, by hand or by the writers of this package, and each
must come back with the same voxels at the same places.
"""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import metaimage_factory
import nibabel as nib
import nrrd
import numpy as np
import pytest
from dicom_factory import make_series, save_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_hirescam import io
from napari_hirescam.io.frame import IPL_TO_LPS, LPS_TO_IPL
from napari_hirescam.volume import Grid

ALL_48 = list(product(permutations(range(3)), product((1, -1), repeat=3)))
SHAPE = (5, 4, 3)
SPACING = np.array([0.7, 0.9, 2.5])
ORIGIN = np.array([-31.25, 17.5, -204.75])
# Every voxel differs, so none can be at another's place unnoticed.
VOXELS = np.random.default_rng(5).permutation(np.arange(-1030, -970)).astype(np.int16)
VOXELS = VOXELS.reshape(SHAPE)
WITHIN_MM = 1e-4


def lps_affine(order, signs) -> np.ndarray:
    """Index to LPS mm, for stored axes that run along patient axes `order` with `signs`."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for index_axis, (patient_axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[patient_axis, index_axis] = sign * SPACING[index_axis]
    affine[:3, 3] = ORIGIN
    return affine


def save_nifti(path: Path, lps: np.ndarray) -> Path:
    """By nibabel."""
    image = nib.Nifti1Image(VOXELS, np.diag([-1, -1, 1, 1]) @ lps)
    path = path.with_suffix(".nii.gz")
    image.to_filename(path)
    return path


def save_nrrd(path: Path, lps: np.ndarray) -> Path:
    """By pynrrd."""
    path = path.with_suffix(".nrrd")
    header = {
        "space": "left-posterior-superior",
        "space directions": lps[:3, :3].T,
        "space origin": lps[:3, 3],
    }
    nrrd.write(str(path), VOXELS, header)
    return path


def save_metaimage(path: Path, lps: np.ndarray) -> Path:
    """By SimpleITK, whose letters for the orientation must then agree with its matrix."""
    sitk = pytest.importorskip("SimpleITK")
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(VOXELS.T.copy())
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    path = path.with_suffix(".mha")
    sitk.WriteImage(image, str(path), True)
    return path


def save_metaimage_by_hand(path: Path, lps: np.ndarray) -> Path:
    """By the words of the format's description."""
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    return metaimage_factory.save(
        path.with_suffix(".mha"),
        VOXELS,
        compressed=True,
        TransformMatrix=" ".join(repr(float(x)) for x in (lps[:3, :3] / spacing).T.ravel()),
        Offset=" ".join(repr(float(x)) for x in lps[:3, 3]),
        ElementSpacing=" ".join(repr(float(x)) for x in spacing),
        AnatomicalOrientation="???",
    )


def save_ours(suffix: str):
    def save(path: Path, lps: np.ndarray) -> Path:
        """By this package."""
        grid = Grid(SHAPE, LPS_TO_IPL @ lps)
        return io.write_volume(path.with_suffix(suffix), VOXELS, grid)

    return save


WRITERS = {
    "NIfTI": save_nifti,
    "NRRD": save_nrrd,
    "MetaImage": save_metaimage,
    "MetaImage by hand": save_metaimage_by_hand,
    "our NIfTI": save_ours(".nii"),
    "our NRRD": save_ours(".nrrd"),
}


def assert_same_voxels_at_the_same_places(volume, lps: np.ndarray) -> None:
    index = np.argwhere(np.ones(SHAPE, bool))
    places = index @ lps[:3, :3].T + lps[:3, 3]
    ours = volume.grid.to_index(places @ LPS_TO_IPL[:3, :3].T)
    nearest = np.rint(ours).astype(int)
    back = volume.grid.to_world(nearest) @ IPL_TO_LPS[:3, :3].T
    assert np.linalg.norm(back - places, axis=1).max() < WITHIN_MM
    np.testing.assert_array_equal(volume.voxels[tuple(nearest.T)], VOXELS[tuple(index.T)])
    assert volume.voxels.size == VOXELS.size
    assert volume.voxels.dtype == VOXELS.dtype
    assert volume.source.notes == ()


@pytest.mark.parametrize("writer", WRITERS)
def test_each_of_48_orientations_comes_back_voxel_for_voxel(tmp_path, writer):
    for k, (order, signs) in enumerate(ALL_48):
        lps = lps_affine(order, signs)
        path = WRITERS[writer](tmp_path / f"v{k}", lps)
        volume = io.read_volume(path)
        assert_same_voxels_at_the_same_places(volume, lps)
        # What a chooser says beforehand is what comes.
        (item,) = io.list_items(path)
        assert (item.n_slices, *item.size) == volume.voxels.shape
        assert item.spacing_mm == pytest.approx(volume.spacing_mm, abs=1e-5)


def test_dicom_slices_in_each_of_48_orientations_show_the_patient_at_his_place(tmp_path):
    for k, (order, signs) in enumerate(ALL_48):
        directions = np.zeros((3, 3))
        for index_axis, (patient_axis, sign) in enumerate(zip(order, signs, strict=True)):
            directions[index_axis, patient_axis] = sign
        series = make_series(
            3,
            origin=tuple(ORIGIN),
            step=tuple(directions[2] * SPACING[2]),
            orientation=(*directions[0], *directions[1]),
            spacing=(SPACING[1], SPACING[0]),
            size=(SHAPE[1], SHAPE[0]),
            signed=True,
            intercept=0.0,
        )
        volume = io.read_volume(save_all(series, tmp_path / str(k)))
        # Every voxel of every file must be found at the place its own header gives.
        for one in series:
            header = one.dataset
            origin = np.array(header.ImagePositionPatient, float)
            stored = np.frombuffer(header.PixelData, np.int16).reshape(SHAPE[1], SHAPE[0])
            rows, columns = np.indices(stored.shape)
            places = (
                origin
                + columns[..., None] * SPACING[0] * directions[0]
                + rows[..., None] * SPACING[1] * directions[1]
            )
            index = volume.grid.to_index(places @ LPS_TO_IPL[:3, :3].T)
            nearest = np.rint(index).astype(int)
            assert np.abs((nearest - index) * volume.grid.spacing_mm).max() < WITHIN_MM
            np.testing.assert_array_equal(volume.voxels[tuple(np.moveaxis(nearest, -1, 0))], stored)
        assert volume.voxels.size == VOXELS.size


finite = st.floats(-300, 300, allow_nan=False, width=32)
angle = st.floats(-np.pi, np.pi, allow_nan=False)
spacing = st.floats(0.3, 6, allow_nan=False)


def rotation(a: float, b: float, c: float) -> np.ndarray:
    def about(axis: int, t: float) -> np.ndarray:
        i, j = (k for k in range(3) if k != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(t)
        turn[i, j], turn[j, i] = -np.sin(t), np.sin(t)
        return turn

    return about(0, a) @ about(1, b) @ about(2, c)


@pytest.mark.parametrize("writer", WRITERS)
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    angles=st.tuples(angle, angle, angle),
    sizes=st.tuples(spacing, spacing, spacing),
    origin=st.tuples(finite, finite, finite),
    mirrored=st.booleans(),
)
def test_oblique_grids_are_kept_as_stored_and_agree_between_formats(
    tmp_path, writer, angles, sizes, origin, mirrored
):
    lps = np.eye(4)
    lps[:3, :3] = rotation(*angles) * np.array(sizes)
    if mirrored:
        lps[:3, 0] *= -1
    lps[:3, 3] = origin
    path = WRITERS[writer](tmp_path / "oblique", lps)
    grid = io.read_volume(path).export_grid
    path.unlink()
    # NIfTI holds its affine in single precision, which is 3e-5 mm at 300 mm.
    assert grid.same_place_as(Grid(SHAPE, LPS_TO_IPL @ lps), tolerance_mm=WITHIN_MM)
