"""docs/training.md lists every setting with its default.

    python tests/test_training_docs.py

writes the list anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from napari_hirescam.training import TrainingSettings

DOCS = Path(__file__).resolve().parents[1] / "docs" / "training.md"
START = "<!-- settings: written by tests/test_training_docs.py -->"
END = "<!-- end of settings -->"
# Told elsewhere: the model folder's own sections, and the tables'.
ELSEWHERE = {"model.architecture", "model.input", "model.output"}


def settings_table() -> str:
    """Make the table of all settings."""
    rows = ["| setting | default | |", "|---|---|---|", *_rows(TrainingSettings, "")]
    return "\n".join(rows)


def _rows(model: type[BaseModel], before: str) -> list[str]:
    rows = []
    for name, field in model.model_fields.items():
        path = f"{before}{name}"
        inner = [
            kind
            for kind in (field.annotation, *get_args(field.annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if inner and path not in ELSEWHERE:
            rows += _rows(inner[0], f"{path}.")
            continue
        default = "" if field.is_required() else _shown(field.get_default())
        choices = ", ".join(map(str, _choices(field.annotation)))
        words = f"{choices}: {field.description}" if choices else field.description
        assert words, f"{path} has no description"
        rows.append(f"| `{path}` | {default} | {words} |")
    return rows


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    return "" if value in ("", {}) or "Undefined" in repr(value) else f"{value}"


def _choices(annotation: Any) -> tuple[Any, ...]:
    """Give the values of a field that has a few to choose from."""
    kinds = (annotation, *get_args(annotation))
    return next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())


def documented() -> str:
    text = DOCS.read_text(encoding="utf-8")
    return text.partition(START)[2].partition(END)[0].strip()


def test_every_setting_is_documented_with_its_default():
    assert documented() == settings_table()


if __name__ == "__main__":
    head, found, rest = DOCS.read_text(encoding="utf-8").partition(START)
    assert found
    tail = rest.partition(END)[2]
    DOCS.write_text(f"{head}{START}\n{settings_table()}\n{END}{tail}", encoding="utf-8")
