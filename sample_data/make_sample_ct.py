"""Make the sample CT: a chest phantom with a mass, a pleural effusion and a large heart.

    python sample_data/make_sample_ct.py [folder]

Writes phantom_chest_ct.nii.gz, the label maps phantom_organs.nii.gz and phantom_findings.nii.gz
and the meaning of their values, phantom_labels.json. A second run writes the same bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_hirescam.io.nifti.write import write_nifti
from napari_hirescam.phantom import Phantom, make_phantom
from napari_hirescam.source import Segment
from napari_hirescam.volume import Grid

SEED = 21
FINDINGS = ("mass", "cardiomegaly", "pleural_effusion")
SPACING_MM = (2.5, 1.5, 1.5)
#: Painted in this order: where two organs overlap, the later one gets the voxel.
ORGANS = (
    "body", "left_lung", "right_lung", "heart", "aorta", "trachea", "liver", "spleen", "spine",
)  # fmt: skip


def stored_as_ras(
    values: npt.NDArray[np.generic], grid: Grid
) -> tuple[npt.NDArray[np.generic], Grid]:
    """Turn (I, P, L) voxels into the order most NIfTI files have: right, anterior, superior."""
    turned = np.ascontiguousarray(values[::-1, ::-1, ::-1].transpose(2, 1, 0))
    slices, rows, columns = grid.shape
    to_old = np.array(
        [[0, 0, -1, slices - 1], [0, -1, 0, rows - 1], [-1, 0, 0, columns - 1], [0, 0, 0, 1]],
        dtype=np.float64,
    )
    return turned, Grid((columns, rows, slices), grid.affine @ to_old)


def label_map(
    masks: dict[str, npt.NDArray[np.bool_]], names: tuple[str, ...]
) -> tuple[npt.NDArray[np.uint8], dict[str, int]]:
    """Number masks from 1 in the order of `names`, later ones on top."""
    labels = np.zeros(next(iter(masks.values())).shape, dtype=np.uint8)
    values = {name: value for value, name in enumerate(names, start=1)}
    for name, value in values.items():
        labels[masks[name]] = value
    return labels, values


def sample_phantom() -> Phantom:
    """Make the phantom that the sample CT shows."""
    return make_phantom(SEED, FINDINGS, spacing_mm=SPACING_MM)


def write_sample(folder: Path) -> list[Path]:
    """Write the four files into a folder; returns their paths."""
    phantom = sample_phantom()
    organs, organ_values = label_map(phantom.organs, ORGANS)
    findings, finding_values = label_map(phantom.findings, FINDINGS)
    # Noise has no use for its last bit, and the file is a good deal smaller without it.
    hu = (phantom.volume.voxels >> 1) << 1
    written = []
    for name, values, text, meanings in (
        ("phantom_chest_ct", hu, "chest phantom, no patient", {}),
        ("phantom_organs", organs, "organs of the chest phantom", organ_values),
        ("phantom_findings", findings, "findings of the chest phantom", finding_values),
    ):
        stored, grid = stored_as_ras(values, phantom.volume.grid)
        file = folder / f"{name}.nii.gz"
        segments = [Segment(value, meaning) for meaning, value in meanings.items()]
        write_nifti(file, stored, grid, description=text, segments=segments, overwrite=True)
        written.append(file)
    table = folder / "phantom_labels.json"
    content = {"seed": SEED, "organs": organ_values, "findings": finding_values}
    table.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return [*written, table]


def main() -> None:
    """Write beside this script, or into the folder given."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    for file in write_sample(folder):
        print(f"{file} ({file.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
