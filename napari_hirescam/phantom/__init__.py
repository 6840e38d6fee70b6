"""A chest CT made from formulas: free of patients, with the truth beside it."""

from napari_hirescam.phantom.chest import EXTENT_MM, Phantom, make_phantom
from napari_hirescam.phantom.devices import DEVICES
from napari_hirescam.phantom.findings import FINDING_ORGAN

__all__ = ["DEVICES", "EXTENT_MM", "FINDING_ORGAN", "Phantom", "make_phantom"]
