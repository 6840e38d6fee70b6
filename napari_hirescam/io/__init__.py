"""Files in, files out: the only room that knows RAS, LPS, NIfTI and DICOM.

From a path to a :class:`~napari_hirescam.volume.Volume` along (I, P, L):

1. `registry` shows the first bytes to each format's ``sniff`` and calls the ``read`` of the first
   that knows them, with the caller's wishes as a `reading.Reading`: which item, which repairs,
   progress, stop, preview.
2. A format's package (`nifti`, `nrrd`, `metaimage`, `npz`, `dicom`) has a ``reader`` and a module
   for each step before it. ``header`` understands and checks the header before anything is
   believed, ``place`` says where the voxels lie. Where several things or a repair could be meant,
   they raise the questions of `asking`. Then the voxels are read: one file at once through
   `gzip_bytes`, `zip_member` or `stored_samples`, always to the end, so that checksums are
   compared. DICOM goes from files (`files`, `scan`) to series and phases (`series`, `phases`), to
   a `plan` with its repairs, to voxels (`pixels`) on a grid (`stack`).
3. `assembling` settles what the numbers are (`quantity`), brings the voxels onto the patient's
   axes (`frame`) and writes down where they came from as a `Source` with its facts.

And back: `write.write_volume` goes by the file's name to the ``write`` of a format. `frame`'s
`on_source_grid` first brings values onto the grid of the file they came from; `writing.put` writes
a file whole, reads it back, compares, and only then gives it its name.

A new format is a package with ``sniff``, ``read``, ``items`` and ``picture``, and a line in
`registry.FORMATS`; its files with known HU at known places go to ``tests/torture``.
"""

from __future__ import annotations

from napari_hirescam.io.asking import ChoiceNeededError, ConsentNeededError, Item, Picture
from napari_hirescam.io.frame import on_source_grid
from napari_hirescam.io.registry import (
    can_read,
    identifying_facts,
    list_items,
    picture_of,
    read_volume,
)
from napari_hirescam.io.write import write_volume

__all__ = [
    "ChoiceNeededError",
    "ConsentNeededError",
    "Item",
    "Picture",
    "can_read",
    "identifying_facts",
    "list_items",
    "on_source_grid",
    "picture_of",
    "read_volume",
    "write_volume",
]
