"""Zipped model folders: unpacked once, and refused whole if anything in them is unsafe."""

from __future__ import annotations

import stat
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from model_folders import make_luna_folder
from networks import random_ct
from test_axialnet import small_axialnet
from test_model_folder import SPEC

from napari_hirescam.errors import ModelFileError, UntrustedModelError
from napari_hirescam.models import archive, load_model, save_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model", SPEC, small_axialnet().state_dict())


def zip_of(folder: Path, target: Path, top: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for file in sorted(f for f in folder.rglob("*") if f.is_file()):
            made.write(file, f"{top}{file.relative_to(folder)}")
    return target


def zip_with(target: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(target, "w") as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return target


@pytest.mark.parametrize("top", ["", "axialnet/"])
def test_a_zipped_folder_is_the_same_model(folder, tmp_path, top) -> None:
    zipped = zip_of(folder, tmp_path / "Model.ZIP", top)
    ct = random_ct((9, 128, 128))
    here, there = load_model(folder), load_model(zipped)
    assert torch.equal(here.logits(here.prepare(ct)), there.logits(there.prepare(ct)))
    assert here.weights_sha256 == there.weights_sha256


def test_what_file_managers_add_is_passed_over(folder, tmp_path) -> None:
    zipped = zip_of(folder, tmp_path / "model.zip", "model/")
    with zipfile.ZipFile(zipped, "a") as made:
        made.writestr("__MACOSX/model/._model.yaml", b"litter")
        made.writestr("model/.DS_Store", b"litter")
    loaded = load_model(zipped)
    assert loaded.labels == SPEC.labels
    assert sorted(f.name for f in loaded.folder.iterdir()) == ["model.yaml", "weights.safetensors"]


def test_a_zip_is_unpacked_once_and_again_when_the_cache_was_changed(folder, tmp_path) -> None:
    zipped = zip_of(folder, tmp_path / "model.zip")
    unpacked = load_model(zipped).folder
    stamp = (unpacked / "model.yaml").stat().st_mtime_ns
    assert load_model(zipped).folder == unpacked
    assert (unpacked / "model.yaml").stat().st_mtime_ns == stamp
    # The same size, other content; then a file too many.
    weights = unpacked / "weights.safetensors"
    weights.write_bytes(bytes(weights.stat().st_size))
    assert load_model(zipped).labels == SPEC.labels
    (unpacked / "extra.py").write_text("print('never asked for')")
    assert load_model(zipped).labels == SPEC.labels
    assert not (unpacked / "extra.py").exists()
    assert [f.name for f in unpacked.parent.iterdir()] == [unpacked.name]


def test_without_a_cache_a_zip_is_unpacked_for_this_run(folder, tmp_path, monkeypatch) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the cache should be")
    monkeypatch.setattr(archive, "_cache", lambda: blocked / "models")
    assert load_model(zip_of(folder, tmp_path / "model.zip")).labels == SPEC.labels


def test_a_yes_is_for_the_content_whether_zipped_or_not(tmp_path, luna_weights) -> None:
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    zipped = zip_of(folder, tmp_path / "luna.zip", "luna/")
    with pytest.raises(UntrustedModelError):
        load_model(zipped)
    load_model(zipped, trust=lambda _request: True)
    assert load_model(folder).labels == ("no nodule", "nodule")
    code = folder / "network.py"
    code.write_text(code.read_text() + "\n# changed\n")
    with pytest.raises(UntrustedModelError):
        load_model(zip_of(folder, tmp_path / "changed.zip"))


@pytest.mark.parametrize(
    "name",
    [
        "../escaped",
        "model/../../escaped",
        "/escaped",
        "C:/escaped",
        "C:escaped",
        "..\\escaped",
        "model\\..\\..\\escaped",
        "model//escaped",
        "./escaped",
        "model/ ../escaped",
        "weights.pt:stream",
    ],
)
def test_a_name_that_leaves_the_folder_is_refused_before_anything_is_written(
    folder, tmp_path, name
) -> None:
    zipped = zip_of(folder, tmp_path / "model.zip")
    with zipfile.ZipFile(zipped, "a") as made:
        made.writestr(zipfile.ZipInfo(name), b"escaped")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ModelFileError, match="points out of its folder"):
        load_model(zipped)
    assert set(tmp_path.rglob("*")) == before


def test_a_second_name_in_an_extra_field_does_not_lead_out_of_the_folder(
    folder, tmp_path, monkeypatch
) -> None:
    """Newer Pythons take a file's name from the field 0x7075, and keep the stored one aside."""
    zipped = zip_of(folder, tmp_path / "model.zip")
    extra = zipfile.ZipInfo("plain.txt")
    escaped = b"../../../../escaped"
    content = b"\x01" + zlib.crc32(b"plain.txt").to_bytes(4, "little") + escaped
    extra.extra = (0x7075).to_bytes(2, "little") + len(content).to_bytes(2, "little") + content
    with zipfile.ZipFile(zipped, "a") as made:
        made.writestr(extra, b"escaped")
    decode = zipfile.ZipInfo._decodeExtra

    def as_newer_pythons_do(entry: zipfile.ZipInfo, *crc: int) -> None:
        decode(entry, *crc)
        if escaped in entry.extra:
            entry.filename = escaped.decode()

    monkeypatch.setattr(zipfile.ZipInfo, "_decodeExtra", as_newer_pythons_do)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ModelFileError, match="points out of its folder"):
        load_model(zipped)
    assert set(tmp_path.rglob("*")) == before
    assert not archive._cache().exists()


def test_a_link_is_refused(folder, tmp_path) -> None:
    zipped = zip_of(folder, tmp_path / "model.zip")
    link = zipfile.ZipInfo("network.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(zipped, "a") as made:
        made.writestr(link, "/etc/passwd")
    with pytest.raises(ModelFileError, match=r"'network\.py', which is a link"):
        load_model(zipped)


@pytest.mark.parametrize("again", ["model.yaml", "MODEL.yaml"])
def test_a_name_that_comes_twice_is_refused(folder, tmp_path, again) -> None:
    zipped = zip_of(folder, tmp_path / "model.zip")
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(zipped, "a") as made:
        made.writestr(again, b"name: another")
    with pytest.raises(ModelFileError, match="twice"):
        load_model(zipped)


def test_a_file_that_is_also_a_folder_is_refused(tmp_path) -> None:
    zipped = zip_with(tmp_path / "m.zip", **{"model.yaml": b"", "a": b"", "a/b": b""})
    with pytest.raises(ModelFileError, match="inside another file"):
        load_model(zipped)


def test_bombs_are_refused_by_what_they_declare(folder, tmp_path, monkeypatch) -> None:
    zipped = zip_of(folder, tmp_path / "model.zip")
    with zipfile.ZipFile(zipped, "a", zipfile.ZIP_DEFLATED) as made:
        made.writestr("zeros.bin", bytes(80 << 20))
    with pytest.raises(ModelFileError, match=r"swell to \d+ times"):
        load_model(zipped)
    plain = zip_of(folder, tmp_path / "plain.zip")
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    with pytest.raises(ModelFileError, match="would fill"):
        load_model(plain)
    monkeypatch.undo()
    monkeypatch.setattr(archive, "MAX_FILES", 1)
    with pytest.raises(ModelFileError, match="holds 2 files"):
        load_model(plain)


def test_an_entry_that_is_larger_than_it_says_is_refused(folder, tmp_path) -> None:
    zipped = zip_with(tmp_path / "model.zip", **{"model.yaml": b"n" * 1000})
    raw = zipped.read_bytes()
    size = (1000).to_bytes(4, "little")
    zipped.write_bytes(raw.replace(size + size, size + (10).to_bytes(4, "little")))
    with pytest.raises(ModelFileError, match="cannot be unpacked"):
        load_model(zipped)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "cannot be unpacked"), (b"PK\x03\x04 not a zip", "cannot be unpacked")],
)
def test_what_is_no_zip_says_so(tmp_path, content, words) -> None:
    file = tmp_path / "model.zip"
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match=words):
        load_model(file)


def test_a_missing_zip_says_so(tmp_path) -> None:
    with pytest.raises(ModelFileError, match="there is no such file"):
        load_model(tmp_path / "nothing.zip")


def test_a_zip_without_a_model_says_what_is_missing(tmp_path) -> None:
    for entries in ({"readme.txt": b""}, {"a/model.yaml": b"", "b/model.yaml": b""}):
        zipped = zip_with(tmp_path / "model.zip", **entries)
        with pytest.raises(ModelFileError, match=r"there is no model\.yaml or configs"):
            load_model(zipped)


def test_a_locked_zip_says_so(folder, tmp_path) -> None:
    zipped = zip_of(folder, tmp_path / "model.zip")
    raw = bytearray(zipped.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(mark) + offset] |= 1
    zipped.write_bytes(raw)
    with pytest.raises(ModelFileError, match="password"):
        load_model(zipped)
