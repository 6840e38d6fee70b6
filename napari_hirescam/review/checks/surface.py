"""The surface of a mask."""

from __future__ import annotations

import numpy as np

from napari_hirescam.review.checks.subject import Subject

#: Blocks by which a mask is blurred before its surface is drawn, against the stairs of voxels.
_BLUR = 0.8


def surface_cm2(subject: Subject) -> float:
    """Measure the surface of a mask in cm2, by a mesh through its blurred border.

    Where the scan ends within the organ, the face of the cut counts too.
    """
    from scipy import ndimage
    from skimage.measure import marching_cubes, mesh_surface_area

    field = ndimage.gaussian_filter(subject.share, _BLUR)
    if field.max() <= 0.5:
        # Too thin to be blurred: a few voxels are measured as they are.
        field = subject.share / subject.share.max()
    subject.tick()
    vertices, faces, _, _ = marching_cubes(  # type: ignore[no-untyped-call]
        field, 0.5, spacing=subject.coarse_mm
    )
    area = mesh_surface_area(vertices, faces)  # type: ignore[no-untyped-call]
    return float(np.asarray(area)) / 100
