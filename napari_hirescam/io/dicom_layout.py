"""How the pixels of a DICOM slice lie in its file, and whether they can be used at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hirescam.io.dicom_elements import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNDEFINED,
)

if TYPE_CHECKING:
    from napari_hirescam.io.dicom_header import SliceHeader

PLAIN_SYNTAXES = {"", IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED}
"""Transfer syntaxes with plain numbers; files from before it was stated have them too."""


def slice_bytes(header: SliceHeader) -> int:
    """How many bytes the plain pixels of one slice take."""
    rows, columns = header.size or (0, 0)
    return rows * columns * (header.float_bits or header.bits_allocated) // 8


def plain_pixels(header: SliceHeader, pixels_at: tuple[int, int] | None) -> tuple[int, int] | None:
    """Offset and length of the pixels if they are plain numbers, else None.

    A length that is defined means plain numbers even where the header still names the
    compression that some program has undone, if it is just the right one.
    """
    if pixels_at is None or pixels_at[1] == UNDEFINED:
        return None
    whole = slice_bytes(header) * header.frames * header.samples
    is_undone = pixels_at[1] in {whole, whole + whole % 2}
    return pixels_at if header.transfer_syntax in PLAIN_SYNTAXES or is_undone else None


def image_problem(header: SliceHeader, pixels_at: tuple[int, int] | None) -> str:
    """Say why a slice cannot be used as numbers in a volume; "" if nothing speaks against it."""
    if header.size is None:
        return "it holds no image"
    if header.samples > 1:
        return "it is a colour picture, not a slice of numbers"
    if header.photometric not in {"", "MONOCHROME1", "MONOCHROME2"}:
        return f"its numbers stand for colours ({header.photometric})"
    if pixels_at is None:
        return "its pixels are missing"
    if pixels_at[1] == UNDEFINED and header.transfer_syntax in PLAIN_SYNTAXES:
        return "its pixels are packed like compressed ones, which its header says they are not"
    if header.frames > 1:
        return f"it holds {header.frames} pictures and does not say where each of them lies"
    if header.float_bits:
        return ""
    if header.bits_allocated not in {8, 16, 32}:
        return f"it has {header.bits_allocated} bits per pixel, not 8, 16 or 32"
    if not 1 <= header.bits_stored <= header.bits_allocated:
        return (
            f"its numbers have {header.bits_stored} bits and {header.bits_allocated} bits of room"
        )
    if header.high_bit != header.bits_stored - 1:
        return (
            f"its highest bit ({header.high_bit}) does not fit its {header.bits_stored} bits, "
            "so there are two ways to read its numbers"
        )
    return ""
