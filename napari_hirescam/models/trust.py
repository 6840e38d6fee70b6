"""The explicit, remembered yes that a model's own code needs before it runs.

A yes is bound to the SHA-256 of everything in the folder that takes part: model.yaml, the
weights or the saved program, and every file Python could run (the one named and its
neighbours). A folder that changes is asked about anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_hirescam.errors import ModelFileError, UntrustedModelError
from napari_hirescam.safe_write import replace_file

logger = logging.getLogger(__name__)

#: Endings of files that Python can run, bytecode included.
_RUNNABLE = frozenset({".py", ".pyc", ".pyd", ".so"})


@dataclass(frozen=True)
class TrustRequest:
    """What the user is asked to agree to.

    Parameters
    ----------
    path
        The file that would run.
    sha256
        Digest of the model folder's files that take part.
    code
        The text to be shown, control characters made visible: the file and every other Python
        file in the folder, or what a saved program does.
    what
        What it is, in two words.
    """

    path: Path
    sha256: str
    code: str
    what: str = "Python code"


AskTrust = Callable[[TrustRequest], bool]


@dataclass(frozen=True)
class UserCode:
    """The Python a model brings, read once: what is shown and agreed to is what runs.

    Parameters
    ----------
    file
        The Python file named in model.yaml.
    source
        Its bytes.
    request
        What the user is asked.
    """

    file: Path
    source: bytes
    request: TrustRequest


def read_user_code(folder: Path, file: Path, others: Mapping[str, str]) -> UserCode:
    """Read a model's Python for showing, agreeing and running.

    Parameters
    ----------
    folder
        The model folder, whose runnable files all count.
    file
        The Python file that would run.
    others
        More files that take part, model.yaml and the weights: name -> SHA-256 of what was read.

    Raises
    ------
    OSError
        A file cannot be read.
    ModelFileError
        The Python is not UTF-8.
    """
    runnable = {f for f in folder.rglob("*") if f.suffix in _RUNNABLE and f.is_file()}
    sources = {f: f.read_bytes() for f in sorted({file, *runnable})}
    digest = hashlib.sha256()
    for path, source in sources.items():
        digest.update(os.fsencode(path.relative_to(folder)) + b"\0")
        digest.update(hashlib.sha256(source).digest())
    for name, sha256 in others.items():
        digest.update(os.fsencode(name) + b"\0" + bytes.fromhex(sha256))
    try:
        sources[file].decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ModelFileError(
            file, f"it is not text in UTF-8: {exc}", "Save the Python file as UTF-8"
        ) from exc
    neighbours = [f for f in sources if f != file]
    parts = [readable(sources[file])]
    for path in neighbours:
        text = readable(sources[path]) if path.suffix == ".py" else "(compiled)"
        parts.append(f"# ---- {readable(str(path.relative_to(folder)))} ----\n{text}")
    request = TrustRequest(file, digest.hexdigest(), "\n".join(parts))
    return UserCode(file, sources[file], request)


def readable(source: bytes | str) -> str:
    """Decode code so that nothing in it can hide from a terminal or a text field."""
    text = source.decode("utf-8", "backslashreplace") if isinstance(source, bytes) else source
    # A lone carriage return ends a line for Python too, and with it a comment.
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def require_trust(request: TrustRequest, ask: AskTrust | None) -> None:
    """Return if the user agreed, now or before, that this code may run.

    Raises
    ------
    UntrustedModelError
        Nobody could be asked, or the answer was no.
    """
    if request.sha256 in _remembered():
        return
    if ask is None or not ask(request):
        raise UntrustedModelError(
            request.path,
            f"this model brings its own {request.what}, which has not been agreed to",
            "Read it; then load the model again and answer yes (--trust on the command line)",
        )
    _remember(request)


def _store() -> Path:
    from platformdirs import user_config_path

    return user_config_path("napari-hirescam", appauthor=False) / "trusted_models.json"


def _remembered() -> dict[str, str]:
    try:
        content = json.loads(_store().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # No list, or one that was damaged: nothing is trusted, the user is asked again.
        return {}
    return content if isinstance(content, dict) else {}


def _remember(request: TrustRequest) -> None:
    store = _store()
    known = {**_remembered(), request.sha256: str(request.path)}
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        replace_file(store, json.dumps(known, indent=1).encode())
    except OSError:
        # The yes holds for this time; it will have to be given again.
        logger.warning("the yes for %s could not be remembered in %s", request.path, store)
