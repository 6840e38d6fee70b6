"""DICOM: CT series in files, classic and enhanced; segmentations and parametric maps over them."""
