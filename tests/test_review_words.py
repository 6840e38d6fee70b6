"""Durations as readers see them, and the hash by which files are known again."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest

from napari_hirescam.errors import Cancelled
from napari_hirescam.review.file_hash import file_sha256
from napari_hirescam.review.words import duration_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (math.nan, ""),
        (0.4, "0 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.7, "1 h 00 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_a_duration_has_the_two_units_that_matter(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words


class TestFileHash:
    def test_is_that_of_all_of_the_file(self, tmp_path: Path) -> None:
        content = bytes(range(256)) * 5000 + b"end"  # beyond one MiB, and not a multiple of it
        (tmp_path / "mask").write_bytes(content)
        assert file_sha256(tmp_path / "mask") == hashlib.sha256(content).hexdigest()

    def test_stops_when_asked(self, tmp_path: Path) -> None:
        (tmp_path / "mask").write_bytes(b"x")
        with pytest.raises(Cancelled):
            file_sha256(tmp_path / "mask", should_stop=lambda: True)
