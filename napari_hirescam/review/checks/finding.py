"""Names of the checks, and from which severity on a finding speaks against a mask."""

from __future__ import annotations

#: Below it a finding is a remark: true and worth knowing (the scan ends within the organ), but no
#: fault of the mask by itself.
ALARM = 0.3

#: Name of a check -> what it looks for, for captions and tables.
CHECKS: dict[str, str] = {
    "unreadable": "CT or mask cannot be read",
    "grid": "mask does not lie on the CT's grid",
    "empty": "nothing is marked",
    "outside_body": "reaches out of the body",
    "left_right": "lies on the wrong side",
    "pieces": "islands beside it",
    "holes": "holes in it",
    "border": "cut by the end of the scan",
    "cut": "cut off along a plane inside the scan",
    "volume": "volume out of range",
    "mean_hu": "mean HU out of range",
    "tissue": "holds tissue that the organ has not",
    "edge": "border follows no edge of the CT",
    "jagged": "outline jumps from slice to slice",
    "gap": "slices without it in between",
    "leak": "leaks into airways or bowel, or through a thin neck",
    "overlap": "shares voxels with another organ",
    "partition": "disagrees with PARTITION",
}
