"""MetaImage files as other software writes them, made by hand so that every field can be wrong."""

from __future__ import annotations

import zlib
from pathlib import Path

from nrrd_factory import CT

TYPES = {
    "i1": "MET_CHAR",
    "u1": "MET_UCHAR",
    "i2": "MET_SHORT",
    "u2": "MET_USHORT",
    "i4": "MET_INT",
    "u4": "MET_UINT",
    "i8": "MET_LONG_LONG",
    "f4": "MET_FLOAT",
    "f8": "MET_DOUBLE",
}


def fields_of(voxels, packed: bytes, *, compressed: bool) -> dict[str, str]:
    """The header of a plain CT along LPS, as ITK writes it."""
    fields = {
        "ObjectType": "Image",
        "NDims": str(voxels.ndim),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": str(voxels.dtype.byteorder == ">"),
        "CompressedData": str(compressed),
    }
    if compressed:
        fields["CompressedDataSize"] = str(len(packed))
    return fields | {
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "-90.5 -120.25 -300",
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": "0.7 0.7 2.5",
        "DimSize": " ".join(str(n) for n in voxels.shape),
        "ElementType": TYPES[voxels.dtype.newbyteorder("=").str[1:]],
    }


def bytes_of(voxels, *, compressed=False) -> bytes:
    content = voxels.tobytes(order="F")
    return zlib.compress(content) if compressed else content


def save(
    path: Path, voxels=CT, *, compressed=False, content=None, data_file="LOCAL", **changes
) -> Path:
    """A file with the voxels in it, or `content` in their place; None leaves a field out."""
    packed = bytes_of(voxels, compressed=compressed)
    fields = fields_of(voxels, packed, compressed=compressed) | changes
    lines = [f"{name} = {value}" for name, value in fields.items() if value is not None]
    header = "\n".join([*lines, f"ElementDataFile = {data_file}\n"]).encode()
    body = packed if content is None else content
    path.write_bytes(header + (body if data_file == "LOCAL" or content is not None else b""))
    return path
