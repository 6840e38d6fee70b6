"""Maps and scores as files: maps on the CT's own grid, and a JSON beside them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from napari_hirescam.attention.methods import METHODS
from napari_hirescam.attention.result import Explanation, PlacementName
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io import write_volume
from napari_hirescam.safe_write import replace_file
from napari_hirescam.volume import Volume

SCORES_FILE = "scores.json"

MapFormat = Literal["nii.gz", "nrrd", "dicom"]
"""How maps can be written; "dicom" is a parametric map over the CT's series."""

_SUFFIXES: dict[MapFormat, str] = {"nii.gz": ".nii.gz", "nrrd": ".nrrd", "dicom": ".dcm"}
# Of each part of a file name; file systems allow 255 bytes for the whole.
_NAME_LENGTH = 60


def map_file_name(
    volume_name: str, label: str, method: str, map_format: MapFormat = "nii.gz"
) -> str:
    """File name of one map, safe on every system: CT, label, method."""
    # Grad-CAM++ must not be taken for Grad-CAM.
    parts = (
        re.sub(r"[^\w.-]+", "_", part.replace("+", "plus")).strip("_.")[:_NAME_LENGTH] or "unnamed"
        for part in (volume_name, label, method)
    )
    return f"{'_'.join(parts)}{_SUFFIXES[map_format]}"


def map_file_names(
    volume_name: str,
    labels: Sequence[str],
    methods: Sequence[str],
    map_format: MapFormat = "nii.gz",
) -> dict[tuple[str, str], str]:
    """File name of each (label, method); names that would coincide are numbered."""
    names: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for pair in itertools.product(dict.fromkeys(labels), dict.fromkeys(methods)):
        name = map_file_name(volume_name, *pair, map_format)
        number = 1
        while name.casefold() in taken:  # Windows and macOS take capitals for small letters
            number += 1
            label = f"{pair[0][: _NAME_LENGTH - 10]} {number}"
            name = map_file_name(volume_name, label, pair[1], map_format)
        taken.add(name.casefold())
        names[pair] = name
    return names


def existing_files(folder: str | Path, names: Iterable[str]) -> list[str]:
    """Those of these files, and of the scores, that are in the folder already."""
    return [name for name in [*names, SCORES_FILE] if (Path(folder) / name).exists()]


def refuse_existing(folder: str | Path, names: Iterable[str]) -> None:
    """Raise VolumeError if any of these files, or the scores, are in the folder already."""
    there = existing_files(folder, names)
    if there:
        raise VolumeError(
            folder,
            f"it already holds {', '.join(there)}",
            "Choose another folder, or overwrite (--overwrite on the command line)",
        )


def refuse_format(volume: Volume, map_format: MapFormat) -> None:
    """Raise VolumeError if maps of this CT cannot be written so."""
    if map_format == "dicom" and not any(volume.source.frames if volume.source else ()):
        raise VolumeError(
            volume.name,
            "its maps cannot be written as DICOM, since it was not read from a DICOM series",
            "Choose nii.gz or nrrd",
        )


def scores_as_json(explanation: Explanation, placement: PlacementName) -> dict[str, Any]:
    """Everything but the maps, as plain JSON values; labels by falling probability."""
    return {
        **explanation.provenance,
        "target_layer": explanation.target_layer,
        "placement": placement,
        "placement_note": explanation.placement_note,
        "cell_mm": explanation.cell_mm(placement),
        "receptive_field_mm": explanation.receptive_field_mm,
        "guarantee": {
            "state": explanation.guarantee.state.value,
            "reason": explanation.guarantee.reason,
            "same_picture": explanation.guarantee.same_picture,
        },
        "scores": [
            {
                "label": label,
                "probability": float(explanation.probabilities[k]),
                "logit": float(explanation.logits[k]),
                **(
                    {
                        "bias": float(explanation.bias[k]),
                        "sum_of_hirescam": explanation.total(label),
                        "residual": explanation.residual(label),
                        "verified": explanation.verified(label),
                    }
                    if "hirescam" in explanation.maps and explanation.completes("hirescam")
                    else {}
                ),
            }
            for label in explanation.ranked()
            for k in [explanation.index(label)]
        ],
    }


def save_maps(
    explanation: Explanation,
    volume: Volume,
    labels: Sequence[str],
    methods: Sequence[str],
    folder: str | Path,
    *,
    map_format: MapFormat = "nii.gz",
    overwrite: bool = False,
    placement: PlacementName | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> list[Path]:
    """Write the raw maps, resampled onto the grid of the file the CT came from.

    Values stay raw and signed, so that maps can be compared across labels and cases; they are
    interpolated between the cells, so their sum over voxels is not the sum over cells.

    Parameters
    ----------
    labels, methods
        Which maps; one file each.
    folder
        Made if missing. `scores.json` is written there too.
    map_format
        "nii.gz", "nrrd", or "dicom" for a CT that came from a DICOM series.
    overwrite
        Replace files that are there; otherwise none is touched.
    placement
        Where cells lie; None takes the explanation's default.

    Returns
    -------
    The files written, the scores last.

    Raises
    ------
    VolumeError
        A file exists already, or cannot be written; or DICOM is asked for over a CT that is
        none.
    Cancelled
        `should_stop` said so; files finished by then stay.
    """
    folder = Path(folder)
    placement = placement or explanation.default_placement
    names = map_file_names(volume.name, labels, methods, map_format)
    refuse_format(volume, map_format)
    if not overwrite:
        refuse_existing(folder, names.values())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for done, ((label, method), name) in enumerate(names.items()):
            if should_stop is not None and should_stop():
                raise Cancelled("saving was cancelled")
            attention = explanation.map(label, method, placement)
            write_volume(
                folder / name,
                attention.on_grid(volume.export_grid),
                volume.export_grid,
                like=volume.source,
                description=f"{METHODS[method].title} {label} p={attention.probability:.3f}",
                provenance=attention.provenance,
                overwrite=overwrite,
            )
            if progress is not None:
                progress(done + 1, len(names))
        content = json.dumps(scores_as_json(explanation, placement), indent=1, allow_nan=False)
        replace_file(folder / SCORES_FILE, f"{content}\n".encode())
    except OSError as exc:
        raise VolumeError(
            folder, f"it cannot be written: {exc.strerror or exc}", "Choose another folder"
        ) from exc
    return [folder / name for name in [*names.values(), SCORES_FILE]]
