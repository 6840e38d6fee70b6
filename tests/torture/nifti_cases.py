"""All NIfTI cases."""

from __future__ import annotations

from torture.nifti_byte_cases import sizes
from torture.nifti_number_cases import numbers
from torture.nifti_place_cases import place

NIFTI_CASES = tuple(case for catalogue in (numbers, sizes, place) for case in catalogue.cases)
