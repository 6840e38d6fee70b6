"""What a kill, a second run, a damaged disk or Ctrl-C could spoil of a training, and does not."""

from __future__ import annotations

import csv
import io
import multiprocessing
import os
import shutil
import signal
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from training_cases import BlobCase, make_settings, make_table
from training_process import last_word, start_training, wait_for_passes

from napari_hirescam import safe_write
from napari_hirescam.cases import CaseTable
from napari_hirescam.errors import Cancelled, SettingsError
from napari_hirescam.organs import OrganMap
from napari_hirescam.training import TrainingSettings, model_folder, train
from napari_hirescam.training.fitting import Fit
from napari_hirescam.training.loading import EpochSampler, make_loader
from napari_hirescam.training.machine import LOCK, torch_as_found
from napari_hirescam.training.plan import Listeners
from napari_hirescam.training.run import plan_training
from napari_hirescam.training.sample_cache import SampleCache
from napari_hirescam.training.samples import CaseSamples

EPOCHS = {"epochs": 2}


def settings_of(**sections) -> TrainingSettings:
    return make_settings(run={**EPOCHS, **sections.pop("run", {})}, **sections)


def files_of(out: Path) -> dict[str, bytes | None]:
    """Give all that lies in a run's folder; of a checkpoint, which holds times, that it does."""
    return {
        str(file.relative_to(out)): None if file.suffix == ".ckpt" else file.read_bytes()
        for file in out.rglob("*")
        if file.is_file()
    }


def stopped(out: Path, questions: int, table: CaseTable | None = None) -> Path:
    """Train until so many questions after the nine cases were looked through."""
    left = iter(range(9 + questions))
    with pytest.raises(Cancelled):
        train(
            settings_of(),
            table or make_table(),
            out=out,
            should_stop=lambda: next(left, None) is None,
        )
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Train without an interruption."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(settings_of(), make_table(), out=out)
    return out


class Killed(BaseException):
    """Nothing that runs after it does more than a killed process would."""


class TestKilled:
    # Renames: settings; weights, checkpoint, log of two epochs; log again, model's two.
    # Of the second epoch, which takes the place of the first, and of the model; then the rest.
    @pytest.mark.parametrize(
        "renamed",
        [4, 5, 6, 8, *(pytest.param(n, marks=pytest.mark.long) for n in (0, 1, 2, 3, 7, 9))],
    )
    def test_between_any_two_files_it_loses_none(self, renamed, tmp_path, whole, monkeypatch):
        out, real, left = tmp_path / "run", safe_write.rename_file, iter(range(renamed))

        def die(part: Path, file: Path, *, overwrite: bool) -> None:
            if next(left, None) is None:
                half = file.with_name(f".{file.name}.{'0' * 32}.part")
                half.write_bytes(b"half")
                raise Killed
            real(part, file, overwrite=overwrite)

        with monkeypatch.context() as patch:
            patch.setattr(safe_write, "rename_file", die)
            with pytest.raises(Killed):
                train(settings_of(), make_table(), out=out)

        train(settings_of(), make_table(), out=out, resume=True)

        assert files_of(out) == files_of(whole)

    def test_every_doubt_is_told_although_it_was_seen_before(self, tmp_path):
        table = make_table()
        cases = tuple(DoubtedCase(**vars(case)) for case in table.cases)
        doubted = CaseTable(table.name, table.labels, cases)
        # In the last epoch: what is read after it is two cases of training and validation.
        out = stopped(tmp_path / "run", 12, doubted)

        train(settings_of(), doubted, out=out, resume=True)

        with (out / "organ_doubts.csv").open(newline="") as stream:
            told = {row["case"]: row["doubt"] for row in csv.DictReader(stream)}
        with_findings = {case.name for case in cases if any(case.labels.values())}
        assert told == dict.fromkeys(with_findings, "rough regions")

    def test_a_full_disk_at_the_very_end_is_said(self, tmp_path, whole, monkeypatch):
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(model_folder, "save_model", full)
            with pytest.raises(SettingsError, match="the disk is full"):
                train(settings_of(), make_table(), out=tmp_path / "run")

        train(settings_of(), make_table(), out=tmp_path / "run", resume=True)

        assert files_of(tmp_path / "run") == files_of(whole)


@dataclass(frozen=True)
class DoubtedCase(BlobCase):
    """A case whose organs are not to be trusted."""

    def organs(self, ct=None) -> OrganMap | None:
        known = super().organs(ct)
        assert known is not None
        return OrganMap(known.labels, known.affine, known.values, "test", ("rough regions",))


class TestDamaged:
    @pytest.fixture
    def run(self, tmp_path) -> Path:
        return stopped(tmp_path / "run", 12)

    def refusal(self, run: Path) -> SettingsError:
        with pytest.raises(SettingsError) as caught:
            train(
                settings_of(),
                make_table(),
                out=run,
                resume=True,
                progress=lambda *_: pytest.fail("a step was taken"),
            )
        return caught.value

    def test_a_flipped_bit_of_a_weight_is_noticed(self, run):
        file = run / "checkpoints" / "last.ckpt"
        content = bytearray(file.read_bytes())
        weight = torch.load(file, weights_only=True)["state_dict"]["network.fc.weight"]
        place = bytes(content).index(weight.numpy().tobytes())
        content[place] ^= 1
        file.write_bytes(content)
        assert torch.load(file, weights_only=True)  # torch does not

        assert "no checkpoint of a training" in self.refusal(run).reason

    @pytest.mark.parametrize("spoil", ["text", "without fields"])
    def test_a_checkpoint_of_something_else_is_refused(self, run, spoil):
        file = run / "checkpoints" / "last.ckpt"
        content = torch.load(file, weights_only=True)
        content["callbacks"]["Keeper"] = "text" if spoil == "text" else {"finished": True}
        torch.save(content, file)

        assert "no checkpoint of a training" in self.refusal(run).reason

    def test_a_pickle_in_its_place_does_not_run(self, run, tmp_path):
        torch.save(Opener(str(tmp_path / "ran")), run / "checkpoints" / "last.ckpt")

        assert "no checkpoint of a training" in self.refusal(run).reason
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(("spoil", "word"), [("gone", "gone"), ("flipped", "damaged")])
    def test_best_weights_that_are_not_those_are_noticed_at_once(self, run, spoil, word):
        (file,) = (run / "checkpoints").glob("best-*.safetensors")
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.unlink()
        if spoil == "flipped":
            file.write_bytes(content)

        assert word in self.refusal(run).reason


class Opener:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


class TestTwoAtOnce:
    def test_a_second_training_in_one_folder_is_refused(self, tmp_path):
        out = tmp_path / "run"
        process, pipe = start_training(out, {"run": EPOCHS})
        wait_for_passes(pipe, 1)

        with pytest.raises(SettingsError, match="another training is at work"):
            train(settings_of(), make_table(), out=out, resume=True)

        assert last_word(process, pipe) == "finished"
        assert not (out / LOCK).exists()

    def test_also_before_the_first_has_written_anything(self, tmp_path):
        out = tmp_path / "run"
        out.mkdir()
        with (
            FileLock(out / LOCK),
            pytest.raises(SettingsError, match="another training is at work"),
        ):
            train(settings_of(), make_table(), out=out)

    def test_a_killed_one_does_not_keep_the_next_out(self, tmp_path, whole):
        out = tmp_path / "run"
        process, pipe = start_training(out, {"run": EPOCHS})
        wait_for_passes(pipe, 6)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert (out / LOCK).exists()

        train(settings_of(), make_table(), out=out, resume=True)

        assert files_of(out) == files_of(whole)


class TestWorkers:
    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal to send")
    def test_ctrl_c_for_all_of_a_terminal_leaves_them_at_work(self):
        loader = self.loader()
        batches = iter(loader)
        first = next(batches)
        for worker in batches._workers:
            os.kill(worker.pid, signal.SIGINT)
        time.sleep(0.2)

        rest = list(batches)

        assert [batch[0].cases for batch in [first, *rest]] == [(f"c{k}",) for k in range(6)]

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal to send")
    def test_one_that_is_killed_is_said_in_a_line(self, tmp_path):
        settings = settings_of(data={"workers": 1})

        def kill(*_: int) -> None:
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)

        with pytest.raises(SettingsError, match="for want of memory"):
            train(settings, make_table(), out=tmp_path / "run", progress=kill)

    def loader(self):
        # Lightning's switches and the seed are for a training alone, not for the tests that follow.
        settings = settings_of()
        with torch_as_found(settings.run):
            fit = Fit(plan_training(settings, make_table(6), Path(), None, None), Listeners())
        cases = make_table(6, 0).cases
        return make_loader(
            CaseSamples(cases, fit._maker),
            EpochSampler(len(cases), seed=None),
            batch_size=1,
            stack=False,
            workers=1,
            pin=False,
        )


def test_what_a_killed_writer_left_in_the_cache_is_cleared_away_when_it_is_old(tmp_path):
    """It would count against what the folder may hold for ever; others may be writing now."""
    old, new = tmp_path / ".a.0123.part", tmp_path / ".b.0123.part"
    for file in (old, new):
        file.write_bytes(bytes(1000))
    os.utime(old, (1e9, 1e9))

    SampleCache(0, tmp_path, 1e6).put("k", {"a": np.zeros(3)})

    assert {file.name for file in tmp_path.iterdir()} == {new.name, "k.npz"}


def test_a_file_that_another_process_renames_meanwhile_does_no_harm(tmp_path, monkeypatch):
    part = tmp_path / f".x.{'0' * 32}.part"
    part.write_bytes(b"half")
    entries = list(os.scandir(tmp_path))
    part.rename(tmp_path / "x.npz")
    monkeypatch.setattr(os, "scandir", lambda _: nullcontext(iter(entries)))

    cache = SampleCache(0, tmp_path, 1e6)
    cache.put("k", {"a": np.zeros(3)})

    assert cache.get("k") is not None


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x93NUMPY\x01\x00", b"\x80\x04N."])
def test_what_is_no_archive_in_the_cache_is_made_anew(tmp_path, content):
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    for spoilt in (content, stream.getvalue()):
        (tmp_path / "k.npz").write_bytes(spoilt)

        assert SampleCache(0, tmp_path, 1e6).get("k") is None
        assert not (tmp_path / "k.npz").exists()


def test_another_model_to_start_from_is_not_mixed_in(tmp_path, whole):
    """The settings name its folder alone."""
    model = tmp_path / "model"
    shutil.copytree(whole / "model", model)
    settings = settings_of().model_copy(
        update={"model": settings_of().model.model_validate({"start_from": str(model)})}
    )
    out = tmp_path / "run"
    left = iter(range(9 + 12))
    with pytest.raises(Cancelled):
        train(settings, make_table(), out=out, should_stop=lambda: next(left, None) is None)
    text = (model / "model.yaml").read_text(encoding="utf-8")
    assert "subtract: 0.449" in text
    (model / "model.yaml").write_text(text.replace("subtract: 0.449", "subtract: 0.25"))

    with pytest.raises(SettingsError, match="other settings, cases or processes"):
        train(settings, make_table(), out=out, resume=True)
