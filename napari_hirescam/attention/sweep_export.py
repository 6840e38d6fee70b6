"""What a search found as files: a table of places, and two maps on the CT's own grid."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from napari_hirescam.attention.export import map_file_name
from napari_hirescam.attention.methods import METHODS
from napari_hirescam.attention.sweep import SweepResult
from napari_hirescam.errors import VolumeError
from napari_hirescam.io import write_volume
from napari_hirescam.safe_write import replace_file
from napari_hirescam.volume import Volume

HITS_FILE = "hits.csv"
_HEADINGS = ("rank", "probability", "logit", "L_mm", "P_mm", "S_mm", "i", "j", "k")


def sweep_file_names(volume_name: str, label: str, method: str) -> tuple[str, str, str]:
    """Names of the table, the score map and the stitched map."""
    return (
        HITS_FILE,
        map_file_name(volume_name, label, "score"),
        map_file_name(volume_name, label, f"{method}_stitched"),
    )


def refuse_existing_search(folder: str | Path, names: tuple[str, ...]) -> None:
    """Raise VolumeError if any of these files is in the folder already."""
    there = [name for name in names if (Path(folder) / name).exists()]
    if there:
        raise VolumeError(
            folder,
            f"it already holds {', '.join(there)}",
            "Choose another folder, or overwrite (--overwrite on the command line)",
        )


def hits_as_csv(result: SweepResult, volume: Volume) -> str:
    """One line for each hit; i, j, k count the voxels of the CT's file, from 0."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADINGS)
    for hit in result.hits:
        inferior, posterior, left = hit.centre_mm
        voxel = np.rint(volume.export_grid.to_index(hit.centre_mm)).astype(int)
        writer.writerow(
            [
                hit.rank,
                f"{hit.probability:.6g}",
                f"{hit.logit:.6g}",
                *(f"{mm:.2f}" for mm in (left, posterior, -inferior)),
                *voxel.tolist(),
            ]
        )
    return text.getvalue()


def save_sweep(
    result: SweepResult, volume: Volume, folder: str | Path, *, overwrite: bool = False
) -> list[Path]:
    """Write the table, the score map and the stitched map.

    The score map holds at each voxel the probability of the window centred nearest to it, -1
    where that window was skipped. The stitched map is raw and signed, interpolated between
    its voxels as any saved map.

    Parameters
    ----------
    volume
        The CT that was searched.
    folder
        Made if missing.
    overwrite
        Replace files that are there; otherwise none is touched.

    Returns
    -------
    The files written.

    Raises
    ------
    VolumeError
        A file exists already, or cannot be written.
    """
    folder = Path(folder)
    hits_name, score_name, map_name = names = sweep_file_names(
        volume.name, result.label, result.method
    )
    if not overwrite:
        refuse_existing_search(folder, names)
    grid = volume.export_grid
    title = f"{result.label} by window"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / hits_name, hits_as_csv(result, volume).encode())
        written = [folder / hits_name]
        written.append(
            write_volume(
                folder / score_name,
                result.score_map(grid),
                grid,
                like=volume.source,
                description=f"probability of {title}",
                provenance={
                    **result.provenance,
                    "values": "probability of the nearest window; -1 where none was scored",
                },
                overwrite=overwrite,
            )
        )
        if result.stitched is not None:
            attention = result.stitched.attention
            written.append(
                write_volume(
                    folder / map_name,
                    attention.on_grid(grid),
                    grid,
                    like=volume.source,
                    description=f"{METHODS[result.method].title} {title}, stitched",
                    provenance={**result.provenance, **attention.provenance},
                    overwrite=overwrite,
                )
            )
    except OSError as exc:
        raise VolumeError(
            folder, f"it cannot be written: {exc.strerror or exc}", "Choose another folder"
        ) from exc
    return written
