"""How the pixels of a DICOM slice lie in its file, and whether they can be used at all."""

from __future__ import annotations

from typing import NamedTuple

from napari_hirescam.io.dicom.elements import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNDEFINED,
)

PLAIN_SYNTAXES = {"", IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED}
"""Transfer syntaxes with plain numbers; files from before it was stated have them too."""


class Layout(NamedTuple):
    """The fields of a slice's header of these names, as far as they say how pixels lie."""

    size: tuple[int, int] | None
    frames: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool | None
    float_bits: int
    transfer_syntax: str


COMPRESSED_SYNTAXES = frozenset(
    f"1.2.840.10008.1.2.{end}"
    for end in (
        "4.50", "4.51", "4.57", "4.70", "4.80", "4.81", "4.90", "4.91", "4.201", "4.202",
        "4.203", "5",
    )
)  # fmt: skip
"""JPEG, JPEG Lossless, JPEG-LS, JPEG 2000, HTJ2K, RLE."""


def slice_bytes(layout: Layout) -> int:
    """How many bytes the plain pixels of one slice take."""
    rows, columns = layout.size or (0, 0)
    return rows * columns * (layout.float_bits or layout.bits_allocated) // 8


def plain_pixels(layout: Layout, pixels_at: tuple[int, int] | None) -> tuple[int, int] | None:
    """Offset and length of the pixels if they are plain numbers, else None.

    A length that is defined means plain numbers even where the header still names the
    compression that some program has undone, if it is just the right one.
    """
    if pixels_at is None or pixels_at[1] == UNDEFINED:
        return None
    whole = slice_bytes(layout) * layout.frames * layout.samples
    is_undone = layout.transfer_syntax in COMPRESSED_SYNTAXES and (
        pixels_at[1] in {whole, whole + whole % 2}
    )
    return pixels_at if layout.transfer_syntax in PLAIN_SYNTAXES or is_undone else None


def image_problem(layout: Layout, pixels_at: tuple[int, int] | None) -> str:
    """Say why a slice cannot be used as numbers in a volume; "" if nothing speaks against it."""
    if layout.size is None:
        return "it holds no image"
    if layout.samples > 1:
        return "it is a colour picture, not a slice of numbers"
    if layout.photometric not in {"", "MONOCHROME1", "MONOCHROME2"}:
        return f"its numbers stand for colours ({layout.photometric})"
    if pixels_at is None:
        return "its pixels are missing"
    if pixels_at[1] == UNDEFINED and layout.transfer_syntax in PLAIN_SYNTAXES:
        return "its pixels are packed like compressed ones, which its header says they are not"
    if layout.frames > 1:
        return f"it holds {layout.frames} pictures and does not say where each of them lies"
    if layout.float_bits:
        return ""
    if layout.bits_allocated not in {8, 16, 32}:
        return f"it has {layout.bits_allocated} bits per pixel, not 8, 16 or 32"
    if layout.is_signed is None:
        return "it does not say whether its numbers are signed (no pixel representation)"
    if not 1 <= layout.bits_stored <= layout.bits_allocated:
        return (
            f"its numbers have {layout.bits_stored} bits and {layout.bits_allocated} bits of room"
        )
    if layout.high_bit != layout.bits_stored - 1:
        return (
            f"its highest bit ({layout.high_bit}) does not fit its {layout.bits_stored} bits, "
            "so there are two ways to read its numbers"
        )
    return ""
