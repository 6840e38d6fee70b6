"""Organ regions: made from a CT, taken from masks, and which of them a label may lie in.

After PARTITION (Draelos & Carin, arXiv 2011.08891 and 2111.12215): a label of a chest CT may
draw on some organs only, and these are found in the CT by morphology, or given as masks.
"""

from napari_hirescam.organs.allowed import (
    AllowedOrgans,
    allowed_organs,
    read_allowed,
    write_allowed,
)
from napari_hirescam.organs.mask_files import read_organs
from napari_hirescam.organs.organ_map import OrganMap
from napari_hirescam.organs.organ_tables import OrganTable, read_organ_table
from napari_hirescam.organs.partition import find_organs

__all__ = [
    "AllowedOrgans",
    "OrganMap",
    "OrganTable",
    "allowed_organs",
    "find_organs",
    "read_allowed",
    "read_organ_table",
    "read_organs",
    "write_allowed",
]
