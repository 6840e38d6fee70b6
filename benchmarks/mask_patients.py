"""Scans with sound masks, half of them for tuning the checks and half for testing them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
from mask_faults import BoolArray, Case
from scipy import ndimage

from napari_hirescam import io
from napari_hirescam.organs import find_organs
from napari_hirescam.phantom import make_phantom
from napari_hirescam.review.checks import survey_scan
from napari_hirescam.volume import Volume, scaling, translation

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
_COVID = "covid_ct_md/covid_ct_md_5patients_128px.npz"
_PHANTOM_ORGANS = (
    "lungs", "left_lung", "right_lung", "heart", "aorta", "trachea", "liver", "spleen", "spine",
)  # fmt: skip
_SPACING_MM = (4.0, 3.0, 3.0)
_FIRST_SEED = {"tuning": 1, "test": 101}


def patients(
    half: str, n_phantoms: int, *, real: bool = True, only: Collection[str] = ()
) -> Iterator[tuple[str, Case]]:
    """Give ("phantoms" or "real CTs", scan with masks); `only` names those that are wanted."""
    for seed in range(_FIRST_SEED[half], _FIRST_SEED[half] + n_phantoms):
        if not only or f"phantom {seed}" in only:
            yield "phantoms", phantom_case(seed)
    if real and SHARED.is_dir():
        for name, make in _REAL[half].items():
            if not only or name in only:
                yield "real CTs", make(name)


def phantom_case(seed: int) -> Case:
    """A phantom with findings by chance; its lungs are whole, liver and spleen end with it."""
    phantom = make_phantom(seed, spacing_mm=_SPACING_MM)
    organs = dict(phantom.organs)
    # A large heart cuts a lingula off some left lungs: a true island, and no sound mask.
    for side in ("left_lung", "right_lung"):
        organs[side] = _largest(organs[side])
    organs["lungs"] = organs["left_lung"] | organs["right_lung"]
    masks = {name: organs[name] for name in _PHANTOM_ORGANS if organs[name].any()}
    # The windpipe's wall belongs to no mask, so that its lumen is what leaks.
    airways = ndimage.binary_erosion(phantom.organs["trachea"])
    return Case(f"phantom {seed}", phantom.volume, masks, airways & (phantom.volume.voxels < -700))


def _largest(mask: BoolArray) -> BoolArray:
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()


def _labelled(ct: str, labels: str) -> Callable[[str], Case]:
    def make(name: str) -> Case:
        volume, mask = io.read_volume(SHARED / ct), io.read_volume(SHARED / labels)
        masks = {one.name: mask.voxels == one.value for one in mask.segments}
        return Case(name, volume, {organ: where for organ, where in masks.items() if where.any()})

    return make


def _upper_abdomen(name: str) -> Case:
    """20 slices, brought to voxels of 2 mm, which spares three quarters of the time."""
    full = _labelled(
        "totalseg/dicom_j2k_20slices", "totalseg/dicom_j2k_20slices_totalseg_labels.nii.gz"
    )(name)
    n, rows, columns = full.ct.voxels.shape
    blocks = full.ct.voxels.reshape(n, rows // 2, 2, columns // 2, 2)
    affine = full.ct.affine @ translation([0, 0.5, 0.5]) @ scaling([1, 2, 2])
    ct = Volume(np.rint(blocks.mean(axis=(2, 4))).astype(np.int16), affine, name)
    masks = {
        organ: mask.reshape(blocks.shape).sum(axis=(2, 4)) >= 2
        for organ, mask in full.masks.items()
    }
    return Case(name, ct, {organ: mask for organ, mask in masks.items() if mask.any()})


def _aorta(name: str) -> Case:
    folder = SHARED / "totalseg/aorta"
    masks = {
        name: io.read_volume(folder / f"{name}.nii.gz").voxels > 0
        for name in ("aorta", "vertebrae_T12")
    }
    return Case(name, io.read_volume(folder / "ct_cropped.nii.gz"), masks)


def _three_slices(name: str) -> Case:
    # There is a file called heart too, which holds stomach, fat and spleen.
    folder = SHARED / "tricky/seg_dcmqi"
    masks = {
        name: io.read_volume(folder / f"{name}_seg.nrrd").voxels > 0 for name in ("liver", "spine")
    }
    return Case(name, io.read_volume(folder / "ct_01.dcm"), masks)


def _covid(patient: str) -> Case:
    """A chest whose lungs are a threshold's, less the windpipe and bowel gas in it."""
    with np.load(SHARED / _COVID) as file:
        hu = file[f"{patient}_hu"]
        packed = file[f"{patient}_lung_threshold_mask"]
        spacing = file[f"{patient}_spacing_zyx"]
    threshold = np.unpackbits(packed, axis=1)[:, : 128 * 128].reshape(hu.shape).astype(bool)
    ct = Volume(np.ascontiguousarray(hu[::-1]), scaling(spacing), patient)
    threshold = np.ascontiguousarray(threshold[::-1])
    found = find_organs(ct)
    lungs = threshold & ndimage.binary_dilation(found.mask(["lungs"]))
    airways = _airways(ct)
    lungs &= ~ndimage.binary_dilation(airways)
    left: BoolArray = ndimage.distance_transform_edt(
        ~found.mask(["left_lung"])
    ) < ndimage.distance_transform_edt(~found.mask(["right_lung"]))
    masks = {"lungs": lungs, "left_lung": lungs & left, "right_lung": lungs & ~left}
    return Case(patient, ct, masks, airways)


def _airways(ct: Volume) -> BoolArray:
    """Windpipe and main bronchi on the CT's own grid."""
    scan = survey_scan(ct)
    if scan.airways is None or scan.grid is None:
        raise AssertionError
    full = scan.airways
    for axis, k in enumerate(scan.grid.step):
        full = np.repeat(full, k, axis=axis)
    widths = [(0, n - have) for n, have in zip(ct.voxels.shape, full.shape, strict=True)]
    return np.pad(full, widths) & (ct.voxels < -700)


_REAL: dict[str, dict[str, Callable[[str], Case]]] = {
    "tuning": {
        "trunk": _labelled(
            "totalseg/example_ct.nii.gz", "totalseg/example_ct_totalseg_labels.nii.gz"
        ),
        "upper trunk": _labelled("totalseg/example_ct_sm.nii.gz", "totalseg/example_seg.nii.gz"),
        "P001": _covid,
        "normal001": _covid,
    },
    "test": {
        "upper abdomen": _upper_abdomen,
        "dissected aorta": _aorta,
        "three slices": _three_slices,
        "cap001": _covid,
        "cap002": _covid,
        "normal002": _covid,
    },
}
