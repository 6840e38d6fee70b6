"""The explicit, remembered yes that a model's own Python needs before it runs.

A yes is bound to the SHA-256 of everything that takes part (model.yaml, the Python file, the
weights), so that a folder that changes is asked about anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_hirescam.errors import UntrustedModelError


@dataclass(frozen=True)
class TrustRequest:
    """What the user is asked to agree to.

    Parameters
    ----------
    path
        The Python file that would run.
    sha256
        Digest of the model folder's files that take part.
    code
        The file's text, to be shown.
    """

    path: Path
    sha256: str
    code: str


AskTrust = Callable[[TrustRequest], bool]


def digest_of(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents of the files, in the order given."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


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
            "this model brings its own Python code, which has not been agreed to",
            "Read the code; then load the model again and answer yes (--trust on the command line)",
        )
    _remember(request)


def _store() -> Path:
    from platformdirs import user_config_path

    return user_config_path("napari-hirescam", appauthor=False) / "trusted_models.json"


def _remembered() -> dict[str, str]:
    try:
        content = json.loads(_store().read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        # No list, or one that was damaged: nothing is trusted, the user is asked again.
        return {}
    return content if isinstance(content, dict) else {}


def _remember(request: TrustRequest) -> None:
    store = _store()
    store.parent.mkdir(parents=True, exist_ok=True)
    known = {**_remembered(), request.sha256: str(request.path)}
    handle, temporary = tempfile.mkstemp(dir=store.parent, suffix=".json")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(known, stream, indent=1)
    Path(temporary).replace(store)
