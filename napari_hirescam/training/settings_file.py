"""Reading the settings of a training from a YAML file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_hirescam.errors import SettingsError
from napari_hirescam.plain_yaml import read_plain_yaml
from napari_hirescam.training.settings import TrainingSettings

# Fields that hold a path; "data.table" may also be the path itself.
_PATHS = (
    ("model", "start_from"),
    ("model", "trunk_weights"),
    ("data", "table"),
    ("data", "table", "file"),
    ("data", "rad_chestct"),
    ("data", "rad_chestct", "folder"),
    ("data", "rad_chestct", "tables"),
    ("data", "reviewed"),
    ("data", "reviewed", "files"),
    ("data", "allowed"),
    ("data", "cache_folder"),
)


def read_settings(path: str | os.PathLike[str]) -> TrainingSettings:
    """Read the settings of a training.

    Parameters
    ----------
    path
        A YAML file; paths in it are relative to its folder.

    Raises
    ------
    SettingsError
        It cannot be read or a field is wrong; the message names every such field.
    """
    file = Path(path).expanduser()
    try:
        content = read_plain_yaml(file.read_bytes())
    except FileNotFoundError as exc:
        raise SettingsError(file, "there is no such file", "Name a YAML file of settings") from exc
    except OSError as exc:
        raise SettingsError(
            file, f"it cannot be read: {exc.strerror}", "Name a YAML file of settings"
        ) from exc
    except ValueError as exc:
        raise SettingsError(file, str(exc), "Mend that line") from exc
    if not isinstance(content, Mapping):
        raise SettingsError(
            file, "it holds no fields", "Write 'model:', 'data:' and so on, each with its fields"
        )
    return settings_of(_beside(content, file.parent), file)


def settings_of(content: Mapping[str, Any], subject: str | Path) -> TrainingSettings:
    """Check the fields of settings.

    Parameters
    ----------
    content
        As in the YAML file.
    subject
        Where they come from, for messages.

    Raises
    ------
    SettingsError
        A field is wrong; the message names every such field.
    """
    from pydantic import ValidationError

    try:
        return TrainingSettings.model_validate(dict(content))
    except ValidationError as exc:
        faults = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: {_in_words(e['type'], e['msg'])}"
            for e in exc.errors()
        )
        remedy = "Mend these fields; docs/training.md lists all settings"
        raise SettingsError(subject, faults, remedy) from exc


def _in_words(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such setting"
    return message.removeprefix("Value error, ")


def _beside(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Take relative paths from the file's own folder."""
    result = dict(content)
    for path in _PATHS:
        result = _changed(result, path, folder)
    return result


def _changed(content: Mapping[str, Any], path: tuple[str, ...], folder: Path) -> dict[str, Any]:
    result = dict(content)
    name, *rest = path
    value = result.get(name)
    if rest and isinstance(value, Mapping):
        result[name] = _changed(value, tuple(rest), folder)
    elif not rest and isinstance(value, str):
        result[name] = _place(folder, value)
    elif not rest and isinstance(value, list):
        result[name] = [_place(folder, one) if isinstance(one, str) else one for one in value]
    return result


def _place(folder: Path, text: str) -> str:
    return str(folder / Path(text).expanduser())
