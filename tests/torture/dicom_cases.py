"""All DICOM cases."""

from __future__ import annotations

from torture.dicom_archive_cases import archive
from torture.dicom_encoding_cases import encodings
from torture.dicom_enhanced_cases import enhanced
from torture.dicom_file_cases import files
from torture.dicom_geometry_cases import geometry
from torture.dicom_group_cases import groups
from torture.dicom_header_cases import headers
from torture.dicom_number_cases import numbers
from torture.dicom_packing_cases import packings
from torture.dicom_spacing_cases import spacings

DICOM_CASES = tuple(
    case
    for catalogue in (
        geometry,
        spacings,
        numbers,
        headers,
        groups,
        files,
        encodings,
        packings,
        enhanced,
        archive,
    )
    for case in catalogue.cases
)
