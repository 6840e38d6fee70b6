"""JPEG lossless (process 14, predictor 1), the form DICOM uses: no free encoder writes it."""

from __future__ import annotations

import numpy as np

_CODE_BITS = 5  # one length for all 17 categories: not small, but any decoder must take it


def encode_jpeg_lossless(pixels: np.ndarray) -> bytes:
    """Encode [row, column] of 16-bit unsigned numbers (ITU-T T.81, annex H)."""
    rows, columns = pixels.shape
    numbers = pixels.astype(np.int64)
    predicted = np.empty_like(numbers)
    predicted[:, 1:] = numbers[:, :-1]
    predicted[1:, 0] = numbers[:-1, 0]
    predicted[0, 0] = 1 << 15
    differences = (numbers - predicted + (1 << 15)) % (1 << 16) - (1 << 15)
    bits = "".join(_code(int(one)) for one in differences.ravel())
    bits += "1" * (-len(bits) % 8)
    body = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xC3, bytes([16, *_two(rows), *_two(columns), 1, 1, 0x11, 0])),
            _segment(0xC4, table),
            _segment(0xDA, bytes([1, 1, 0, 1, 0, 0])),
            body,
            b"\xff\xd9",
        ]
    )


def _code(difference: int) -> str:
    category = abs(difference).bit_length()
    code = f"{category:0{_CODE_BITS}b}"
    if category in {0, 16}:  # -32768 needs no further bits
        return code
    rest = difference if difference > 0 else difference + (1 << category) - 1
    return code + f"{rest:0{category}b}"


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker, *_two(len(content) + 2)]) + content


def _two(number: int) -> bytes:
    return number.to_bytes(2, "big")
