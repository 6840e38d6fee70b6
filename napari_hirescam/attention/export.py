"""Maps and scores as files: NIfTI on the CT's own grid, and a JSON beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_hirescam.attention.capture import Progress, ShouldStop
from napari_hirescam.attention.methods import METHODS
from napari_hirescam.attention.result import Explanation, PlacementName
from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io import write_nifti
from napari_hirescam.volume import Volume

SCORES_FILE = "scores.json"


def map_file_name(volume_name: str, label: str, method: str) -> str:
    """File name of one map, safe on every system."""
    parts = (re.sub(r"[^\w.-]+", "_", part).strip("_.") for part in (volume_name, label, method))
    return f"{'_'.join(parts)}.nii.gz"


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
                    if explanation.guarantee.holds and "hirescam" in explanation.maps
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
        A file exists already, or cannot be written.
    Cancelled
        `should_stop` said so; files finished by then stay.
    """
    folder = Path(folder)
    placement = placement or explanation.default_placement
    wanted = [(label, method) for label in labels for method in methods]
    files = [folder / map_file_name(volume.name, *pair) for pair in wanted]
    scores = folder / SCORES_FILE
    there = [file.name for file in [*files, scores] if file.exists()]
    if there and not overwrite:
        raise VolumeError(
            folder, f"it already holds {', '.join(there)}", "Choose another folder, or overwrite"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for done, ((label, method), file) in enumerate(zip(wanted, files, strict=True)):
            if should_stop is not None and should_stop():
                raise Cancelled("saving was cancelled")
            attention = explanation.map(label, method, placement)
            write_nifti(
                file,
                attention.on_grid(volume.export_grid),
                volume.export_grid,
                description=f"{METHODS[method].title} {label} p={attention.probability:.3f}",
                provenance=attention.provenance,
                overwrite=overwrite,
            )
            if progress is not None:
                progress(done + 1, len(wanted))
        content = json.dumps(scores_as_json(explanation, placement), indent=1)
        temporary = scores.with_suffix(".json.part")
        temporary.write_text(content + "\n", encoding="utf-8")
        temporary.replace(scores)
    except OSError as exc:
        raise VolumeError(
            folder, f"it cannot be written: {exc.strerror or exc}", "Choose another folder"
        ) from exc
    return [*files, scores]
