"""What readers are asked, from a file that somebody wrote by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from napari_hirescam.errors import ReviewError
from napari_hirescam.plain_yaml import read_plain_yaml
from napari_hirescam.review.form import Form, ItemKind, Scale, YesNoQuestion

_FIELDS = ("mask", "attention", "reasons", "questions")
# As many as there are keys for.
_MOST_STEPS = 5


def read_form(path: str | Path) -> Form:
    """Read what is asked from YAML: `mask`, `attention`, `reasons`, `questions`.

    Scales have a `question` and `captions` from the worst to the best; reasons are ``key: words``;
    questions ``key: text``, or ``key: {text: ..., about: attention}``. What is left out stays as
    it is usual.

    Raises
    ------
    ReviewError
        It cannot be read, or a field of it makes no sense; the message names the field.
    """
    path = Path(path).expanduser()
    try:
        content = read_plain_yaml(path.read_bytes())
    except FileNotFoundError as exc:
        raise ReviewError(path, "there is no such file", "Name a YAML file of questions") from exc
    except OSError as exc:
        raise ReviewError(
            path, f"it cannot be read ({exc.strerror or exc})", "Name a YAML file of questions"
        ) from exc
    except ValueError as exc:
        raise ReviewError(path, str(exc), "Mend that line") from exc
    try:
        return _form_of(content)
    except ValueError as exc:
        raise ReviewError(path, str(exc), "See docs/review.md for what it may hold") from exc


def _form_of(content: Any) -> Form:
    fields = _mapping(content, "the file")
    unknown = sorted(set(fields) - set(_FIELDS))
    if unknown:
        raise ValueError(f"there is no field {', '.join(unknown)}")
    form = Form()
    if "mask" in fields:
        form = replace(form, mask=_scale(fields["mask"], "mask"))
    if "attention" in fields:
        form = replace(form, attention=_scale(fields["attention"], "attention"))
    if "reasons" in fields:
        told = _mapping(fields["reasons"], "reasons")
        reasons = {_key(key, "reasons"): _text(words, f"reasons.{key}")
                   for key, words in told.items()}  # fmt: skip
        form = replace(form, reasons=reasons)
    if "questions" in fields:
        told = _mapping(fields["questions"], "questions")
        form = replace(form, questions=tuple(_question(*pair) for pair in told.items()))
    return form


def _scale(value: Any, where: Literal["mask", "attention"]) -> Scale:
    told = _mapping(value, where)
    if set(told) != {"question", "captions"}:
        raise ValueError(f"{where} needs the fields question and captions, and no other")
    captions = told["captions"]
    if not isinstance(captions, list) or not 2 <= len(captions) <= _MOST_STEPS:
        raise ValueError(f"{where}.captions is no list of 2 to {_MOST_STEPS} captions")
    words = tuple(_text(caption, f"{where}.captions") for caption in captions)
    return Scale(_asked(told["question"], f"{where}.question"), words)


def _question(key: Any, value: Any) -> YesNoQuestion:
    name = _key(key, "questions")
    told = _mapping(value, name) if isinstance(value, Mapping) else {"text": value}
    if not {"text"} <= set(told) <= {"text", "about"}:
        raise ValueError(f"questions.{name} needs a text, and may have an about")
    about: ItemKind = told.get("about", "mask")
    if about not in get_args(ItemKind):
        raise ValueError(f"questions.{name}.about is neither mask nor attention")
    return YesNoQuestion(name, _asked(told["text"], f"questions.{name}"), about)


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{where} has no fields")
    return {str(key): inner for key, inner in value.items()}


def _key(key: Any, where: str) -> str:
    if not str(key).isidentifier():
        raise ValueError(f"{where}: {str(key)[:40]!r} is no name of letters, digits and '_'")
    return str(key)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where} holds no text")
    return value.strip()


def _asked(value: Any, where: str) -> str:
    text = _text(value, where)
    if not text.endswith("?"):
        raise ValueError(f"{where} does not end in a question mark")
    return text
