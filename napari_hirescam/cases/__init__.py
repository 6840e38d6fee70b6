"""Cases: a CT with its labels and masks, and tables of them with splits that do not leak."""

from napari_hirescam.cases.case import Case, CaseTable, Split, same_patient
from napari_hirescam.cases.checking import check_cases
from napari_hirescam.cases.file_case import FileCase
from napari_hirescam.cases.found_organs import with_found_organs
from napari_hirescam.cases.phantoms import PhantomCase, phantom_table
from napari_hirescam.cases.rad_chestct import read_rad_chestct
from napari_hirescam.cases.splits import split_by_patient
from napari_hirescam.cases.table_file import read_case_table

__all__ = [
    "Case",
    "CaseTable",
    "FileCase",
    "PhantomCase",
    "Split",
    "check_cases",
    "phantom_table",
    "read_case_table",
    "read_rad_chestct",
    "same_patient",
    "split_by_patient",
    "with_found_organs",
]
