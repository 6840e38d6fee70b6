"""From a case to a batch: what is kept is what was made, and who sees which case when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_cases import ALLOWED, LABELS, SHAPE, BlobCase, make_settings, make_table

from napari_hirescam.cases import Case
from napari_hirescam.errors import CaseTableError, OrganError
from napari_hirescam.models import InputSpec
from napari_hirescam.models.preprocess import prepare
from napari_hirescam.training import samples
from napari_hirescam.training.loading import Collate, Draw, EpochSampler, make_loader
from napari_hirescam.training.regions import CellPlaces
from napari_hirescam.training.sample_cache import SampleCache
from napari_hirescam.training.samples import CaseSamples, SampleMaker, Unreadable
from napari_hirescam.volume import scaling, translation

INPUT = InputSpec(shape=SHAPE, layout="axial_triples", subtract=0.449)
# Cells of 8 x 8 voxels in each image of three slices.
PLACES = CellPlaces(
    "stretch",
    (2, 2, 2),
    (2, 16, 16),
    translation((0.0, 3.5, 3.5)) @ scaling((1.0, 8.0, 8.0)),
)


def make_maker(cache: SampleCache | None = None, spec: InputSpec = INPUT, **loss) -> SampleMaker:
    return SampleMaker(
        LABELS,
        spec,
        make_settings(loss=loss).loss,
        PLACES,
        ALLOWED,
        cache or SampleCache(),
    )


def same(first, second) -> bool:
    return torch.equal(first.tensor, second.tensor) and all(
        np.array_equal(a, b) for a, b in zip(first[2:6], second[2:6], strict=True)
    )


class TestSample:
    def test_it_is_the_prepared_ct_with_its_labels(self):
        case = BlobCase("a", "a", "train", {"ring": True}, seed=1)

        sample = make_maker().make(case)

        assert torch.equal(sample.tensor, prepare(case.ct(), INPUT).tensor)
        assert sample.targets.tolist() == [0, 1]
        assert sample.known.tolist() == [False, True]

    def test_the_allowed_cells_lie_in_the_organ_of_a_present_label(self):
        sample = make_maker().make(BlobCase("a", "a", "train", {"blob": True, "ring": False}))

        left = np.zeros((2, 2, 2), bool)
        left[:, :, 1] = True  # high columns are the patient's left
        assert np.array_equal(sample.allowed[0], left)
        assert not sample.allowed[1].any()

    def test_regions_may_be_the_findings_themselves(self):
        case = BlobCase("a", "a", "train", {"blob": True, "ring": True})

        sample = make_maker(regions="lesions").make(case)

        assert sample.allowed[0].any()
        assert not sample.allowed[1].any()  # nobody outlined it
        assert sample.judged.tolist() == [True, False]

    def test_cases_own_organs_win_over_the_table(self):
        case = BlobCase("a", "a", "train", {"blob": True}, {"blob": ("right_lung",)})

        sample = make_maker().make(case)

        assert sample.allowed[0][:, :, 0].all()
        assert not sample.allowed[0][:, :, 1].any()

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            ("nan", "1 voxels of its CT are no numbers"),
            ("no organs", "no organ masks"),
            ("lacks an organ", "it has no left_lung"),
        ],
    )
    def test_a_case_that_cannot_be_used_is_named(self, fault, words):
        case = BlobCase("patient-7", "a", "train", {"blob": True}, fault=fault)

        with pytest.raises((CaseTableError, OrganError), match=words) as caught:
            make_maker().make(case)

        assert "patient-7" in str(caught.value)

    def test_flips_differ_by_epoch_and_come_again(self):
        maker = make_maker()
        case = BlobCase("a", "a", "train", {"blob": True})

        epochs = [maker.make(case, epoch=k, flip_seed=0).tensor for k in range(8)]

        assert len({tensor.numpy().tobytes() for tensor in epochs}) > 2
        assert torch.equal(epochs[5], maker.make(case, epoch=5, flip_seed=0).tensor)


class TestCache:
    @pytest.fixture(params=["memory", "disk"])
    def cache(self, request, tmp_path) -> SampleCache:
        if request.param == "memory":
            return SampleCache(1e6)
        return SampleCache(0, tmp_path / "cache", 1e6)

    def test_what_is_kept_gives_the_same_sample(self, cache, monkeypatch):
        case = BlobCase("a", "a", "train", {"blob": True, "ring": False}, seed=3)
        fresh = make_maker().make(case)
        maker = make_maker(cache)
        first = maker.make(case)
        monkeypatch.setattr(BlobCase, "ct", None)  # reading again would fail
        monkeypatch.setattr(BlobCase, "organs", None)

        second = maker.make(case)

        assert same(first, fresh)
        assert same(second, fresh)

    def test_another_window_or_rule_is_made_anew(self, cache):
        case = BlobCase("a", "a", "train", {"blob": True})
        make_maker(cache).make(case)
        turned = INPUT.model_copy(update={"orientation": "IPR", "window_hu": (-500.0, 100.0)})

        assert same(make_maker(cache, turned).make(case), make_maker(spec=turned).make(case))
        assert same(make_maker(cache, rule="half").make(case), make_maker(rule="half").make(case))

    def test_a_changed_case_is_read_anew(self, cache):
        case = BlobCase("a", "a", "train", {"blob": True}, seed=1)
        changed = replace(case, seed=2)
        make_maker(cache).make(case)

        assert same(make_maker(cache).make(changed), make_maker().make(changed))

    def test_another_release_reads_anew(self, cache, monkeypatch):
        case = BlobCase("a", "a", "train", {"blob": True})
        make_maker(cache).make(case)
        monkeypatch.setattr(samples, "__version__", "99.0")
        monkeypatch.setattr(BlobCase, "ct", None)

        with pytest.raises(TypeError, match="not callable"):
            make_maker(cache).make(case)

    def test_memory_and_disk_are_bounded(self, tmp_path):
        array = {"a": np.zeros(1000, np.uint8)}
        cache = SampleCache(2500, tmp_path, 4200)

        for k in range(6):
            cache.put(f"k{k}", array)

        assert len(list(tmp_path.iterdir())) == 3  # each with a header
        assert sum(f.stat().st_size for f in tmp_path.iterdir()) <= 4200
        cache._folder = None
        assert [cache.get(f"k{k}") is not None for k in range(6)] == [True, True, *[False] * 4]

    def test_a_damaged_file_is_made_anew(self, tmp_path, caplog):
        cache = SampleCache(0, tmp_path, 1e6)
        cache.put("k", {"a": np.arange(1000)})
        (file,) = tmp_path.iterdir()
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

        assert cache.get("k") is None
        assert not file.exists()
        assert "damaged" in caplog.text


class TestSampler:
    @given(n=st.integers(1, 40), processes=st.integers(1, 5), epoch=st.integers(0, 3))
    def test_one_step_of_n_processes_is_n_passes_of_one(self, n, processes, epoch):
        alone = EpochSampler(n, seed=7)
        alone.set_epoch(epoch)
        order = [draw.case for draw in alone]
        shares = []
        for rank in range(processes):
            sampler = EpochSampler(n, seed=7, processes=processes)
            sampler.deal(rank)
            sampler.set_epoch(epoch)
            shares.append([draw.case for draw in sampler])

        assert sorted(order) == list(range(n))
        assert len({len(share) for share in shares}) == 1
        together = [case for step in zip(*shares, strict=True) for case in step]
        assert together == order[: n // processes * processes]

    @given(n=st.integers(1, 40), processes=st.integers(1, 5))
    def test_validation_counts_each_case_once(self, n, processes):
        draws = []
        for rank in range(processes):
            sampler = EpochSampler(n, seed=None, processes=processes)
            sampler.deal(rank)
            draws += list(sampler)

        assert sorted(draw.case for draw in draws if draw.counts) == list(range(n))
        assert len(draws) % processes == 0

    @given(n=st.integers(1, 30), done=st.integers(0, 30), epoch=st.integers(0, 3))
    def test_a_resumed_epoch_goes_on_where_it_was(self, n, done, epoch):
        whole = EpochSampler(n, seed=1)
        whole.set_epoch(epoch)
        resumed = EpochSampler(n, seed=1)
        resumed.resume(epoch, done)

        assert list(resumed) == list(whole)[done:]
        assert len(resumed) == n
        assert list(resumed) == list(whole)  # the next pass is whole again

    def test_epochs_differ(self):
        sampler = EpochSampler(20, seed=0)
        orders = []
        for epoch in range(3):
            sampler.set_epoch(epoch)
            orders.append(tuple(draw.case for draw in sampler))

        assert len(set(orders)) == 3


class TestBatches:
    def loader(self, cases: tuple[Case, ...], batch_size: int, workers: int = 0):
        samples = CaseSamples(cases, make_maker())
        return make_loader(
            samples,
            EpochSampler(len(cases), seed=None),
            batch_size=batch_size,
            stack=False,
            workers=workers,
            pin=False,
        )

    def test_cases_are_stacked_in_order(self):
        table = make_table(5, 0)

        first, second = list(self.loader(table.cases, 3))

        assert [batch.cases for batch in first] == [("c0", "c1", "c2")]
        assert first[0].tensor.shape == (3, 2, 3, 16, 16)
        assert first[0].allowed.shape == (3, 2, 2, 2, 2)
        assert second[0].cases == ("c3", "c4")

    def test_cts_of_unequal_size_go_in_batches_of_their_own(self):
        samples = [
            make_maker().make(BlobCase(name, name, "train", {"blob": False}))
            for name in ("a", "b", "c")
        ]
        longer = samples[1]._replace(tensor=torch.zeros(1, 3, 3, 16, 16))

        batches = Collate(stack=False)([samples[0], longer, samples[2]])

        assert [batch.cases for batch in batches] == [("a", "c"), ("b",)]

    def test_a_worker_hands_over_what_went_wrong(self):
        table = make_table(2, 0, c1="nan")

        batches = list(self.loader(table.cases, 1, workers=1))

        assert isinstance(batches[1], Unreadable)
        assert isinstance(batches[1].error, CaseTableError)
        assert "c1" in batches[1].error.subject

    def test_workers_make_what_the_process_itself_makes(self):
        table = make_table(3, 0)

        here, there = (
            torch.cat([batch[0].tensor for batch in self.loader(table.cases, 1, workers)])
            for workers in (0, 1)
        )

        assert torch.equal(here, there)

    def test_a_draw_that_only_fills_up_does_not_count(self):
        samples = CaseSamples(make_table(1, 0).cases, make_maker())

        (batch,) = Collate(stack=False)([samples[Draw(0, 0)], samples[Draw(0, 0, counts=False)]])

        assert batch.counts.tolist() == [True, False]
