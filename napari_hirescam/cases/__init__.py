"""Cases: a CT with its labels and masks, and tables of them with splits that do not leak."""

from napari_hirescam.cases.case import Case, CaseTable, Split
from napari_hirescam.cases.phantoms import PhantomCase, phantom_table

__all__ = ["Case", "CaseTable", "PhantomCase", "Split", "phantom_table"]
