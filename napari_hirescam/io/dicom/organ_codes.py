"""Names of organs and findings as the coded concepts that DICOM segmentations carry."""

from __future__ import annotations

import re
from dataclasses import dataclass

Code = tuple[str, str, str]
"""Value, coding scheme, meaning."""

_ANATOMY: Code = ("91723000", "SCT", "Anatomical Structure")
_ABNORMAL: Code = ("49755003", "SCT", "Morphologically Abnormal Structure")
_TISSUE: Code = ("85756007", "SCT", "Tissue")
_LEFT: Code = ("7771000", "SCT", "Left")
_RIGHT: Code = ("24028007", "SCT", "Right")

# SNOMED CT, as DICOM's context groups for segmentations list them.
_STRUCTURES = {
    "adrenal gland": "23451007",
    "aorta": "15825003",
    "bone": "272673000",
    "brain": "12738006",
    "colon": "71854001",
    "duodenum": "38848004",
    "esophagus": "32849002",
    "gallbladder": "28231008",
    "heart": "80891009",
    "inferior vena cava": "64131007",
    "kidney": "64033007",
    "liver": "10200004",
    "lung": "39607008",
    "muscle": "71616004",
    "pancreas": "15776009",
    "portal vein": "32764006",
    "prostate": "41216001",
    "pulmonary artery": "81040000",
    "small intestine": "30315005",
    "spinal cord": "2748008",
    "spleen": "78961009",
    "stomach": "69695003",
    "thyroid": "69748006",
    "trachea": "44567001",
    "urinary bladder": "89837001",
    "vertebra": "51282000",
}
_FINDINGS = {
    "lesion": "52988006",
    "mass": "4147007",
    "neoplasm": "108369006",
    "nodule": "27925004",
}
_OTHER_NAMES = {
    "small bowel": "small intestine",
    "thyroid gland": "thyroid",
    "tumor": "neoplasm",
    "tumour": "neoplasm",
    "lung nodule": "nodule",
    "pulmonary nodule": "nodule",
    "oesophagus": "esophagus",
}


@dataclass(frozen=True)
class SegmentCodes:
    """What a segment is, in codes; `side` is None where the name tells none."""

    category: Code
    kind: Code
    side: Code | None = None


def codes_of(name: str) -> SegmentCodes:
    """Find the codes for a segment's name, "kidney_left" say; "Tissue" for unknown names."""
    words = re.findall(r"[a-z]+", name.lower())
    side = _LEFT if "left" in words else _RIGHT if "right" in words else None
    plain = " ".join(word for word in words if word not in {"left", "right"})
    plain = _OTHER_NAMES.get(plain, plain)
    for table, category in ((_STRUCTURES, _ANATOMY), (_FINDINGS, _ABNORMAL)):
        if plain in table:
            return SegmentCodes(category, (table[plain], "SCT", plain.capitalize()), side)
    return SegmentCodes(_TISSUE, _TISSUE)
