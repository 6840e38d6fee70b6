"""Cases small enough to train on in a second, and settings for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_hirescam.cases import Case, CaseTable
from napari_hirescam.organs import OrganMap
from napari_hirescam.training import TrainingSettings
from napari_hirescam.volume import Volume, scaling

LABELS = ("blob", "ring")
SHAPE = (6, 16, 16)
ALLOWED = {"blob": ("left_lung",), "ring": ("right_lung",)}


@dataclass(frozen=True)
class BlobCase(Case):
    """Noise by its seed, with a bright left half where a blob is present, and a right for a ring.

    `fault` makes it a case that cannot be used: "nan", "no organs", "lacks an organ".
    """

    seed: int = 0
    fault: str = ""
    slices: int = SHAPE[0]

    def ct(self) -> Volume:
        rng = np.random.default_rng(self.seed)
        hu = rng.normal(-300, 200, (self.slices, *SHAPE[1:]))
        hu[:, 4:12, 8:] += 400 * self.labels.get("blob", False)
        hu[:, 4:12, :8] += 400 * self.labels.get("ring", False)
        voxels: Any = hu.astype(np.int16)
        if self.fault == "nan":
            voxels = hu.astype(np.float32)
            voxels[0, 0, 0] = np.nan
        return Volume(voxels, scaling((3.0, 2.0, 2.0)), self.name)

    def organs(self, ct: Volume | None = None) -> OrganMap | None:
        if self.fault == "no organs":
            return None
        left = np.zeros((self.slices, *SHAPE[1:]), bool)
        left[:, :, 8:] = True
        masks = {"left_lung": left, "right_lung": ~left}
        if self.fault == "lacks an organ":
            del masks["left_lung"]
        return OrganMap.from_masks(masks, scaling((3.0, 2.0, 2.0)), "test masks")

    def lesions(self, ct: Volume | None = None) -> dict[str, np.ndarray]:
        mask = np.zeros((self.slices, *SHAPE[1:]), bool)
        mask[:, 4:12, 8:] = True
        return {"blob": mask} if self.labels.get("blob") else {}


def make_table(train: int = 5, valid: int = 4, **faults: str) -> CaseTable:
    """Draw a table; `faults` names those of cases, by their names."""
    rng = np.random.default_rng(0)
    cases = []
    for k in range(train + valid):
        name = f"c{k}"
        first = k if k < train else k - train
        labels = {
            "blob": first % 2 == 0,
            "ring": first == 0 or (first > 1 and bool(rng.integers(2))),
        }
        split = "train" if k < train else "valid"
        cases.append(BlobCase(name, f"p{k}", split, labels, {}, k, faults.get(name, "")))
    return CaseTable("blobs", LABELS, tuple(cases))


def make_settings(**sections: dict[str, Any]) -> TrainingSettings:
    """Give the settings of a tiny AxialNet, with fields of sections changed."""
    content: dict[str, Any] = {
        "name": "tiny",
        "model": {
            "architecture": {
                "name": "axialnet",
                "arguments": {
                    "grid": 2,
                    "trunk_channels": [4, 4, 4, 4],
                    "trunk_stages": 1,
                    "conv_channels": [4],
                },
            },
            "input": {"shape": list(SHAPE), "layout": "axial_triples", "subtract": 0.449},
        },
        "data": {"allowed_organs": ALLOWED},
        "loss": {"rule": "touch"},
        "optimizer": {"name": "sgd", "learning_rate": 0.02},
        "run": {"epochs": 3, "accelerator": "cpu", "threads": 1},
    }
    for section, fields in sections.items():
        if isinstance(fields, dict):
            content[section] = {**content.get(section, {}), **fields}
        else:
            content[section] = fields
    return TrainingSettings.model_validate(content)
