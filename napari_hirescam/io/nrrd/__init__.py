"""NRRD files, Slicer's segmentations among them."""
