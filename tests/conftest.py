"""What every room's tests may ask for."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_collection_finish() -> None:
    """Spare the garbage collector what the tests have imported: none of it is ever thrown away.

    napari collects all there is at each layer that is removed, a third of a second each time.
    """
    gc.freeze()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Return the folder of real scans and models beside the checkout; skip without one."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"no real data on this machine: {folder} is missing")
    return folder


@pytest.fixture(scope="session")
def luna_weights(shared_dir: Path) -> Path:
    """Return the weights of the nodule network that was trained on real chest CT."""
    return shared_dir / "models" / "luna_nodule" / "nodule_vs_nonnodule.state"


@pytest.fixture
def keyboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have the keyboard alone: test processes share one screen, and one window is in front."""
    from filelock import FileLock

    with FileLock(tmp_path_factory.getbasetemp().parent / "keyboard.lock", timeout=300):
        yield


@pytest.fixture(autouse=True)
def _no_trust_from_this_user(tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep trusted and unpacked models of whoever runs the tests out of them, and unchanged."""
    own = tmp_path_factory.mktemp("trust")
    monkeypatch.setattr("napari_hirescam.models.trust._store", lambda: own / "trusted_models.json")
    monkeypatch.setattr("napari_hirescam.models.archive._cache", lambda: own / "unpacked")
