"""The values of DICOM data elements, from the bytes that writers put into them."""

from __future__ import annotations

import struct
from functools import lru_cache
from math import isfinite

from napari_hirescam.io.dicom.elements import Elements

_BINARY = {
    "US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "SV": "q", "UV": "Q",
}  # fmt: skip

_BLANKS = "\0 \r\n\t"

_TAGS: dict[str, tuple[int, str]] = {
    "SpecificCharacterSet": (0x00080005, "CS"),
    "ImageType": (0x00080008, "CS"),
    "SOPClassUID": (0x00080016, "UI"),
    "SOPInstanceUID": (0x00080018, "UI"),
    "AcquisitionTime": (0x00080032, "TM"),
    "Modality": (0x00080060, "CS"),
    "Manufacturer": (0x00080070, "LO"),
    "SeriesDescription": (0x0008103E, "LO"),
    "ContrastBolusAgent": (0x00180010, "LO"),
    "BodyPartExamined": (0x00180015, "CS"),
    "SliceThickness": (0x00180050, "DS"),
    "KVP": (0x00180060, "DS"),
    "SpacingBetweenSlices": (0x00180088, "DS"),
    "TriggerTime": (0x00181060, "DS"),
    "GantryDetectorTilt": (0x00181120, "DS"),
    "ConvolutionKernel": (0x00181210, "SH"),
    "PatientPosition": (0x00185100, "CS"),
    "DiffusionBValue": (0x00189087, "FD"),
    "StudyInstanceUID": (0x0020000D, "UI"),
    "SeriesInstanceUID": (0x0020000E, "UI"),
    "SeriesNumber": (0x00200011, "IS"),
    "AcquisitionNumber": (0x00200012, "IS"),
    "InstanceNumber": (0x00200013, "IS"),
    "ImagePositionPatient": (0x00200032, "DS"),
    "ImageOrientationPatient": (0x00200037, "DS"),
    "FrameOfReferenceUID": (0x00200052, "UI"),
    "TemporalPositionIdentifier": (0x00200100, "IS"),
    "SliceLocation": (0x00201041, "DS"),
    "StackID": (0x00209056, "SH"),
    "SamplesPerPixel": (0x00280002, "US"),
    "PhotometricInterpretation": (0x00280004, "CS"),
    "NumberOfFrames": (0x00280008, "IS"),
    "Rows": (0x00280010, "US"),
    "Columns": (0x00280011, "US"),
    "PixelSpacing": (0x00280030, "DS"),
    "BitsAllocated": (0x00280100, "US"),
    "BitsStored": (0x00280101, "US"),
    "HighBit": (0x00280102, "US"),
    "PixelRepresentation": (0x00280103, "US"),
    "PixelPaddingValue": (0x00280120, "US"),
    "PixelPaddingRangeLimit": (0x00280121, "US"),
    "WindowCenter": (0x00281050, "DS"),
    "WindowWidth": (0x00281051, "DS"),
    "RescaleIntercept": (0x00281052, "DS"),
    "RescaleSlope": (0x00281053, "DS"),
    "RescaleType": (0x00281054, "LO"),
    "WindowCenterWidthExplanation": (0x00281055, "LO"),
    "LossyImageCompression": (0x00282110, "CS"),
    "ModalityLUTSequence": (0x00283000, "SQ"),
    "PerFrameFunctionalGroupsSequence": (0x52009230, "SQ"),
}
"""Tag and usual VR by keyword: DICOM PS3.6."""

WANTED = frozenset(tag for tag, _ in _TAGS.values())
"""Tags of the elements that are looked at."""


class Values:
    """The elements of one file, by keyword.

    What cannot be read as what it should be is a `ValueError`, but for the `lenient` ones, on
    which no voxel and no place depends.
    """

    def __init__(self, elements: Elements) -> None:
        self._elements = elements
        self._order = ">" if elements.is_big_endian else "<"

    def __contains__(self, keyword: str) -> bool:
        tag, _ = _TAGS[keyword]
        # Without an explicit VR a sequence of known length looks like any other value.
        return tag in self._elements.sequences or tag in self._elements.values

    def text(self, keyword: str) -> str:
        """The text, its padding removed; "" if there is none."""
        element = self._elements.values.get(_TAGS[keyword][0])
        if element is None:
            return ""
        plain = _ascii(element.value)
        return self._decoded(element.value) if plain is None else plain

    def texts(self, keyword: str) -> tuple[str, ...]:
        """The texts that backslashes separate."""
        whole = self.text(keyword)
        return tuple(part.strip(_BLANKS) for part in whole.split("\\")) if whole else ()

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """Exactly so many finite numbers; None if the element is missing or empty."""
        found = self._all(keyword)
        if not found:
            return None
        if len(found) != count:
            raise ValueError(f"{keyword} has {len(found)} numbers, not {count}")
        return found

    def number(self, keyword: str) -> float | None:
        """One finite number; None if the element is missing or empty."""
        found = self.numbers(keyword, 1)
        return None if found is None else found[0]

    def integer(self, keyword: str) -> int | None:
        """One whole number; None if the element is missing or empty."""
        value = self.number(keyword)
        if value is None:
            return None
        if not value.is_integer():
            raise ValueError(f"{keyword} is not a whole number")
        return int(value)

    def lenient(self, keyword: str) -> float | None:
        """The first number, or None if it cannot be read."""
        found = self.lenient_list(keyword)
        return found[0] if found else None

    def lenient_integer(self, keyword: str) -> int | None:
        """The first number if it is whole, or None."""
        value = self.lenient(keyword)
        return int(value) if value is not None and value.is_integer() else None

    def lenient_list(self, keyword: str) -> tuple[float, ...]:
        """All numbers, or none if one of them cannot be read."""
        try:
            return self._all(keyword)
        except ValueError:
            return ()

    def _all(self, keyword: str) -> tuple[float, ...]:
        tag, usual_vr = _TAGS[keyword]
        element = self._elements.values.get(tag)
        if element is None:
            return ()
        vr = usual_vr if element.vr in {"", "UN"} else element.vr
        return _numbers(keyword, vr, self._order, element.value)

    def _decoded(self, value: bytes) -> str:
        from pydicom.charset import convert_encodings, decode_bytes

        named = self._elements.values.get(_TAGS["SpecificCharacterSet"][0])
        sets = (named.value if named else b"").decode("ascii", "replace").split("\\")
        try:
            encodings = convert_encodings([one.strip("\0 ") for one in sets])
            text = str(decode_bytes(value, encodings, {0x5C}))
        except (LookupError, UnicodeError, ValueError):
            # A description in an unknown script; nothing is computed from it.
            text = value.decode("latin-1")
        return text.strip(_BLANKS)


# The slices of a series say the same again and again, so most values are known already.


@lru_cache(maxsize=1024)
def _ascii(value: bytes) -> str | None:
    """The text, or None if it takes a character set to read it."""
    if not value.isascii() or b"\x1b" in value:  # which begins another set
        return None
    return value.decode("ascii").strip(_BLANKS)


@lru_cache(maxsize=1024)
def _numbers(keyword: str, vr: str, order: str, value: bytes) -> tuple[float, ...]:
    if vr not in _BINARY:
        whole = _ascii(value)
        if whole is None:
            raise ValueError(f"{keyword} is not a number")
        parts = whole.split("\\") if whole else []
        return tuple(_decimal(keyword, part.strip(_BLANKS)) for part in parts)
    code = _BINARY[vr]
    count = len(value) // struct.calcsize(code)
    if count == 0 and value:
        raise ValueError(f"{keyword} is cut short")
    numbers = struct.unpack(f"{order}{count}{code}", value[: count * struct.calcsize(code)])
    if not all(isfinite(x) for x in numbers):
        raise ValueError(f"{keyword} is not finite")
    return tuple(float(x) for x in numbers)


def _decimal(keyword: str, text: str) -> float:
    plain = text.replace(",", ".") if _has_decimal_comma(keyword, text) else text
    try:
        value = float(plain)
    except ValueError:
        value = float("nan")
    if not isfinite(value) or "_" in text:
        raise ValueError(f"{keyword} is {text[:40]!r}, not a number")
    return value


def _has_decimal_comma(keyword: str, text: str) -> bool:
    if text.count(",") != 1 or "." in text:
        return False
    whole, fraction = text.split(",")
    if len(fraction) == 3 and whole.strip(" +-") not in {"", "0"}:
        raise ValueError(f"{keyword} is {text!r}, which can be read in two ways")
    return True
