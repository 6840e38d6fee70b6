"""Units of length as file headers spell them."""

from __future__ import annotations

_MM_PER = {
    "mm": 1.0,
    "millimeter": 1.0,
    "millimetre": 1.0,
    "cm": 10.0,
    "centimeter": 10.0,
    "centimetre": 10.0,
    "m": 1000.0,
    "meter": 1000.0,
    "metre": 1000.0,
    "um": 0.001,
    "µm": 0.001,  # the micro sign
    "μm": 0.001,  # the Greek letter
    "micron": 0.001,
    "micrometer": 0.001,
    "micrometre": 0.001,
    "nm": 1e-6,
}


def mm_per(unit: str) -> float | None:
    """Millimetres in a unit, by its name; an empty name stands for mm; None if unknown."""
    name = unit.strip().strip('"').lower()
    if name in {"", "?", "???"}:
        return 1.0
    return _MM_PER.get(name) or _MM_PER.get(name.removesuffix("s"))
