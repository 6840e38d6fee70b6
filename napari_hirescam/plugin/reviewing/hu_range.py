"""The range of CT numbers that painting is limited to, and a sensible one for each organ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: The CT scale; a scanner tells nothing beyond it.
LOWEST_HU, HIGHEST_HU = -1024, 3071


@dataclass(frozen=True)
class HuRange:
    """A range of CT numbers, both ends belonging to it.

    Parameters
    ----------
    low, high
        HU.
    name
        What usually lies in it; empty for a user's own.
    """

    low: float
    high: float
    name: str = ""

    def contains(self, hu: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """True where a CT number lies in the range; NaN lies nowhere."""
        inside: npt.NDArray[np.bool_] = (hu >= self.low) & (hu <= self.high)
        return inside

    @property
    def words(self) -> str:
        """The range as it is read: "-1024 to -320 HU"."""
        return f"{self.low:g} to {self.high:g} HU".replace("-", "\N{MINUS SIGN}")


# -320 HU is the usual border between aerated lung and its wall. Ranges of blood reach over scans
# with and without contrast medium.
AERATED_LUNG = HuRange(LOWEST_HU, -320, "Aerated lung")
DISEASED_LUNG = HuRange(LOWEST_HU, 150, "Lung with disease")
AIR = HuRange(LOWEST_HU, -900, "Air")
SOFT_TISSUE = HuRange(-20, 300, "Soft tissue")
TISSUE_AND_FAT = HuRange(-190, 300, "Soft tissue and fat")
BLOOD = HuRange(0, 600, "Blood")
BONE = HuRange(150, HIGHEST_HU, "Bone")

RANGES = (AERATED_LUNG, DISEASED_LUNG, AIR, SOFT_TISSUE, TISSUE_AND_FAT, BLOOD, BONE)

# The first word found in an organ's name decides.
_BY_WORD = {
    "lung": AERATED_LUNG,
    "lobe": AERATED_LUNG,
    "trachea": AIR,
    "airway": AIR,
    "bronch": AIR,
    "mediastinum": TISSUE_AND_FAT,
    "vessel": BLOOD,
    "aorta": BLOOD,
    "vein": BLOOD,
    "artery": BLOOD,
    "cava": BLOOD,
    "brachiocephalic": BLOOD,
    "rib": BONE,
    "vertebra": BONE,
    "sternum": BONE,
    "bone": BONE,
}


def usual_range(organ: str) -> HuRange:
    """Return the range that an organ's mask is usually painted in; soft tissue if unknown."""
    name = organ.lower()
    return next((found for word, found in _BY_WORD.items() if word in name), SOFT_TISSUE)
