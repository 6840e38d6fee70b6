"""Options that hold more than one plain value: numbers by commas, key=value, fields' names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from napari_hirescam.errors import InputError

#: Options whose field in model.yaml has another name.
_OPTION_OF = {
    "window_hu": "--window",
    "scale_to": "--scale",
    "spacing_mm": "--spacing",
    "input": "--shape",
    "entry": "--output",
    "layer": "--output-layer",
    "arguments": "--arg",
}
_ANY = ("any", "none")


def option_of(field: str) -> str:
    """Name the option that sets a field of model.yaml ('input.window_hu': --window)."""
    parts = [part for part in field.split(".") if not part.isdigit()]
    name = parts[-1] if parts else field
    return _OPTION_OF.get(name, f"--{name.replace('_', '-')}")


def numbers(text: str, how_many: int | None, option: str) -> list[float | None] | None:
    """Parse numbers separated by commas; 'any' for one of them, 'none' for all, is None.

    One number stands for as many as there must be; None for `how_many` takes any number of them.

    Raises
    ------
    InputError
        They are no numbers, or not as many.
    """
    if text.strip().lower() == "none":
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1:
        parts *= how_many or 1
    values = [None if part.lower() in _ANY else number(part, option) for part in parts]
    if how_many is not None and len(values) != how_many:
        raise InputError(option, f"{text!r} is not {how_many} numbers", "Separate them by commas")
    return values


def number(text: str, option: str) -> float:
    """Parse one number.

    Raises
    ------
    InputError
        It is none.
    """
    try:
        value = float(text)
    except ValueError as exc:
        raise InputError(option, f"{text!r} is not a number", "Give a number") from exc
    return int(value) if value.is_integer() else value


def key_value(text: str) -> tuple[str, Any]:
    """Parse key=value; the value is read as in model.yaml (true, 3, [1, 2], text).

    Raises
    ------
    InputError
        There is no key, or the value is no plain value.
    """
    from napari_hirescam.models.draft import plain_value

    key, sign, value = text.partition("=")
    if not sign or not key.strip().isidentifier():
        raise InputError("--arg", f"{text!r} is not key=value", "Give spatial_dims=3, say")
    with named_by_option():
        return key.strip(), plain_value(value)


def entry(value: Any) -> Any:
    """Read an entry of the output: a position in a tuple, or a key of a dict."""
    return int(value) if isinstance(value, str) and value.lstrip("-").isdecimal() else value


@contextmanager
def named_by_option() -> Iterator[None]:
    """Name a wrong field by the option that sets it."""
    try:
        yield
    except InputError as exc:
        raise InputError(option_of(exc.subject), exc.reason, exc.remedy) from exc
