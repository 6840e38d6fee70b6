"""What an adult's organs are like in a CT: size, density, side, in how many pieces.

The ranges are far wider than those of healthy people, as what is outside them should be the
mask's fault rather than a disease's. Volumes of solid organs hold half and twice the organ of ICRP
Publication 89's reference woman and man (2002), and the means measured on CT by Geraghty et al.,
Abdom Imaging 2004;29:482-490; lungs: Cheng et al., Int J COPD 2019;14:1657-1668. Densities reach
from native scans with fatty liver or bones of ninety years (Int J Legal Med 2019;133:1861-1867;
Jang et al., Radiology 2019;291:360-367) to the peak of contrast medium, which blood and kidneys
show most; scanners differ by some HU too (Lamba et al., AJR 2014;203:1013-1020).
tests/test_review_anatomy.py holds the ranges to these figures. Ranges of organs that it does not
name (vessels, bowel, bones, muscles, lobes) are estimates, tried on the masks of the benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from napari_hirescam.organs.organ_tables import organ_name

#: How an organ ends and holds together. "compact": rounded ends, one solid piece. "tube": cut
#: ends and any length. "bone", "muscle": flat ends too. "bowel": any shape. "lung": filled by air.
Form = Literal["compact", "tube", "bone", "muscle", "bowel", "lung"]
Range = tuple[float, float]


@dataclass(frozen=True)
class Anatomy:
    """What is usual for an organ.

    Parameters
    ----------
    ml
        Volume, if it is whole in the scan.
    mean_hu
        Mean inside.
    tissue_hu
        What its tissue may be; voxels beyond it are another's.
    foreign
        Largest share of such voxels.
    form
        See :data:`Form`.
    side
        -1 right, 1 left, 0 either.
    pieces
        In how many it comes; 0 for any number.
    radius_mm
        Of the largest ball in it, for tubes; 0 for not known.
    off_middle_mm
        How far its middle may lie from the patient's, if it is an organ of the middle; 0 if not.
    even
        Whether its inside looks even in a CT, so that the steepest edge is its border.
    sharp
        Whether a native CT shows its border at all.
    """

    ml: Range
    mean_hu: Range
    tissue_hu: Range
    foreign: float
    form: Form
    side: Literal[-1, 0, 1] = 0
    pieces: int = 1
    radius_mm: float = 0.0
    off_middle_mm: float = 0.0
    even: bool = False
    sharp: bool = True


def _lung(low: float, high: float, side: Literal[-1, 0, 1], pieces: int = 1) -> Anatomy:
    # Half of a lung may be full of disease.
    return Anatomy((low, high), (-940, -350), (-1100, -200), 0.4, "lung", side, pieces)


def _vessel(low: float, high: float, radius_mm: float, off_middle_mm: float = 0.0) -> Anatomy:
    return Anatomy(
        (low, high),
        (0, 700),
        (-30, 1500),
        0.15,
        "tube",
        pieces=0,
        radius_mm=radius_mm,
        off_middle_mm=off_middle_mm,
        even=True,
    )


def _bone(low: float, high: float, pieces: int = 1, off_middle_mm: float = 0.0) -> Anatomy:
    # Fatty marrow reaches far below zero, enamel and metal far up.
    return Anatomy(
        (low, high),
        (60, 900),
        (-60, 3100),
        0.12,
        "bone",
        pieces=pieces,
        off_middle_mm=off_middle_mm,
    )


def _muscle(low: float, high: float) -> Anatomy:
    return Anatomy((low, high), (-60, 110), (-190, 220), 0.1, "muscle", pieces=0, even=True)


_BLOOD = (0.0, 450.0)
_KIDNEY = Anatomy((50, 450), (-10, 350), (-80, 700), 0.1, "compact", even=True)
_LEFT_AND_RIGHT: dict[str, Anatomy] = {
    "kidney": _KIDNEY,
    "adrenal_gland": Anatomy((0.8, 20), (-40, 160), (-100, 300), 0.15, "muscle", sharp=False),
    "iliac_artery": _vessel(2, 80, 20),
    "iliac_vena": _vessel(2, 80, 20),
    "humerus": _bone(10, 350),
    "scapula": _bone(30, 250),
    "clavicula": _bone(10, 80),
    "femur": _bone(50, 700),
    "hip": _bone(100, 800),
    "gluteus_maximus": _muscle(150, 1800),
    "gluteus_medius": _muscle(70, 900),
    "gluteus_minimus": _muscle(20, 250),
    "autochthon": _muscle(100, 1600),
    "iliopsoas": _muscle(70, 900),
    "subclavian_artery": _vessel(1, 60, 14),
    "common_carotid_artery": _vessel(0.5, 40, 10),
    "brachiocephalic_vein": _vessel(0.8, 60, 16),
    "lung_upper_lobe": _lung(80, 2800, 0),
    "lung_middle_lobe": _lung(40, 1200, 0),
    "lung_lower_lobe": _lung(60, 2800, 0),
}
_SINGLE: dict[str, Anatomy] = {
    "lungs": _lung(1200, 10500, 0, 2),
    "right_lung": _lung(500, 6000, -1),
    "left_lung": _lung(400, 5500, 1),
    "heart": Anatomy((300, 1800), (0, 350), (-130, 1000), 0.1, "compact", 1),
    "heart_myocardium": Anatomy((50, 450), (0, 250), (-130, 500), 0.1, "muscle"),
    "heart_atrium_left": Anatomy((20, 450), _BLOOD, (-130, 1000), 0.1, "compact"),
    "heart_atrium_right": Anatomy((20, 450), _BLOOD, (-130, 1000), 0.1, "compact"),
    "heart_ventricle_left": Anatomy((30, 450), _BLOOD, (-130, 1000), 0.1, "compact"),
    "heart_ventricle_right": Anatomy((30, 450), _BLOOD, (-130, 1000), 0.1, "compact"),
    "pulmonary_artery": _vessel(15, 300, 28),
    "pulmonary_vein": _vessel(3, 200, 22),
    "atrial_appendage_left": Anatomy((1, 45), _BLOOD, (-130, 1000), 0.15, "muscle"),
    "aorta": _vessel(25, 1200, 38, 50),
    "brachiocephalic_trunk": _vessel(1, 40, 14),
    "superior_vena_cava": _vessel(3, 80, 20, 70),
    "inferior_vena_cava": _vessel(10, 300, 28, 60),
    "portal_vein_and_splenic_vein": _vessel(4, 150, 18),
    "great_vessel": replace(_vessel(30, 2000, 60), sharp=False),
    "mediastinum": Anatomy(
        (100, 8000), (-130, 250), (-250, 1500), 0.2, "muscle", pieces=0, sharp=False
    ),
    "trachea": Anatomy((8, 130), (-1050, -650), (-1100, -400), 0.35, "tube", 0, 0, 18, 45),
    "esophagus": Anatomy(
        (6, 150), (-350, 130), (-1100, 500), 0.1, "tube", 0, 0, 28, 50, sharp=False
    ),
    "liver": Anatomy((500, 4000), (-20, 190), (-50, 400), 0.06, "compact", -1, even=True),
    "spleen": Anatomy((35, 1800), (10, 230), (-40, 400), 0.08, "compact", 1, even=True),
    "gallbladder": Anatomy((1, 350), (-30, 150), (-100, 500), 0.12, "compact", -1, even=True),
    "stomach": Anatomy((40, 3500), (-750, 350), (-1100, 900), 0.05, "bowel", 1, 0),
    "pancreas": Anatomy((15, 300), (-60, 190), (-130, 400), 0.12, "muscle", 0, 0, sharp=False),
    "duodenum": Anatomy((10, 350), (-350, 250), (-1100, 900), 0.05, "bowel", 0, 0),
    "small_bowel": Anatomy((60, 4000), (-350, 300), (-1100, 900), 0.05, "bowel", 0, 0),
    "colon": Anatomy((100, 5000), (-850, 400), (-1100, 1500), 0.05, "bowel", 0, 0),
    "urinary_bladder": Anatomy(
        (8, 1800), (-30, 600), (-100, 1500), 0.1, "compact", 0, 1, 0, 60, even=True
    ),
    "prostate": Anatomy(
        (6, 250), (-20, 180), (-120, 600), 0.12, "compact", 0, 1, 0, 40, sharp=False
    ),
    "thyroid_gland": Anatomy((2, 200), (10, 350), (-120, 600), 0.15, "muscle", 0, 0, 0, 45),
    "brain": Anatomy((800, 1900), (0, 80), (-100, 200), 0.08, "compact"),
    "spinal_cord": Anatomy(
        (6, 120), (-40, 150), (-150, 400), 0.12, "tube", 0, 0, 14, 35, even=True
    ),
    "spine": _bone(80, 2000, 0, 40),
    "vertebrae": _bone(3, 160, 1, 45),
    "sacrum": _bone(60, 500, 1, 40),
    "sternum": _bone(15, 250, 0, 45),
    "skull": _bone(300, 1500, 0),
    "rib": replace(_bone(0.3, 60), pieces=0),
    "costal_cartilages": Anatomy((10, 350), (20, 400), (-130, 1500), 0.1, "bone", 0, 0),
}
_VERTEBRAE = {
    "c": _bone(3, 60, 1, 45),
    "t": _bone(8, 110, 1, 45),
    "l": _bone(22, 160, 1, 45),
    "s": _bone(12, 160, 1, 45),
}
_SIDE_WORDS: dict[str, Literal[-1, 1]] = {"right": -1, "left": 1}


def anatomy_of(organ: str) -> Anatomy | None:
    """Say what is usual for an organ; None if it is not known here.

    Parameters
    ----------
    organ
        Any spelling that `organ_name` understands; TotalSegmentator's names among them.
    """
    name = organ_name(organ)
    if name in _SINGLE:
        return _SINGLE[name]
    words = name.split("_")
    side = next((word for word in words if word in _SIDE_WORDS), None)
    rest = "_".join(word for word in words if word != side)
    if side is not None and rest in _LEFT_AND_RIGHT:
        return replace(_LEFT_AND_RIGHT[rest], side=_SIDE_WORDS[side])
    if side is not None and words[0] == "rib":
        return replace(_SINGLE["rib"], side=_SIDE_WORDS[side])
    if words[0] == "vertebrae":
        level = words[1][:1] if len(words) > 1 else ""
        return _VERTEBRAE.get(level, _SINGLE["vertebrae"])
    return None


def side_of(organ: str) -> Literal[-1, 0, 1]:
    """Side on which an organ lies: -1 right, 1 left, 0 either; of a strange one by its name."""
    known = anatomy_of(organ)
    if known is not None:
        return known.side
    words = organ_name(organ).split("_")
    sides = {_SIDE_WORDS[word] for word in words if word in _SIDE_WORDS}
    return sides.pop() if len(sides) == 1 else 0
