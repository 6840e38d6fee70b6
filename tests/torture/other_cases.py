"""All cases that are neither DICOM nor NIfTI."""

from __future__ import annotations

from torture.metaimage_cases import METAIMAGE_CASES
from torture.npz_cases import NPZ_CASES
from torture.nrrd_cases import NRRD_CASES

OTHER_CASES = (*NRRD_CASES, *METAIMAGE_CASES, *NPZ_CASES)
