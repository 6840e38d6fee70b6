"""Work in threads: every outcome arrives, once, in the GUI thread."""

from __future__ import annotations

import threading

import pytest
from napari.qt.threading import FunctionWorker
from qtpy.QtCore import QThread

from napari_hirescam.errors import Cancelled, InputError
from napari_hirescam.plugin.jobs import Job


class Outcomes:
    """Writes down what a job reported, and from which thread."""

    def __init__(self, job: Job) -> None:
        self.seen: list[tuple[str, object]] = []
        self.threads: set[QThread] = set()
        job.succeeded.connect(lambda result: self._note("succeeded", result))
        job.failed.connect(lambda error: self._note("failed", error))
        job.cancelled.connect(lambda: self._note("cancelled", None))

    def _note(self, what: str, value: object) -> None:
        self.seen.append((what, value))
        self.threads.add(QThread.currentThread())


@pytest.fixture(autouse=True)
def _no_thread_outlives_its_test(qapp):
    yield
    FunctionWorker.await_workers(5000)


def _run(qtbot, work, subject: str = "thorax.nii") -> Outcomes:
    job = Job(work, subject)
    outcomes = Outcomes(job)
    with qtbot.waitSignal(job.ended, timeout=5000):
        job.start()
    return outcomes


def test_a_result_arrives_in_the_gui_thread(qtbot, qapp):
    outcomes = _run(qtbot, lambda _progress, _stop: 42)
    assert outcomes.seen == [("succeeded", 42)]
    assert outcomes.threads == {qapp.thread()}


def test_the_work_runs_outside_the_gui_thread(qtbot):
    outcomes = _run(qtbot, lambda _progress, _stop: threading.current_thread())
    assert outcomes.seen[0][1] is not threading.main_thread()


def test_an_error_of_ours_arrives_as_it_was_raised(qtbot):
    error = InputError("ct", "is empty", "Choose another")

    def work(_progress, _stop):
        raise error

    assert _run(qtbot, work).seen == [("failed", error)]


@pytest.mark.parametrize("kind", [RuntimeError, ZeroDivisionError, KeyError, MemoryError])
def test_any_other_error_arrives_as_one_sentence_about_the_subject(qtbot, kind):
    def work(_progress, _stop):
        raise kind("sizes of tensors\nmust match")

    ((what, error),) = _run(qtbot, work).seen
    assert what == "failed"
    assert str(error).startswith("thorax.nii: ")
    assert "\n" not in str(error)
    assert not isinstance(error, RuntimeError)


def test_progress_is_handed_on(qtbot):
    def work(progress, _stop):
        progress(1, 3)
        progress(3, 3)

    job = Job(work, "ct")
    steps: list[tuple[int, int]] = []
    job.progressed.connect(lambda done, total: steps.append((done, total)))
    with qtbot.waitSignal(job.ended, timeout=5000):
        job.start()
    assert steps == [(1, 3), (3, 3)]


def _until_stopped(started: threading.Event, *, honour: bool):
    def work(_progress, should_stop):
        started.set()
        patience = threading.Event()
        while not should_stop():
            patience.wait(0.005)
        if honour:
            raise Cancelled("stopped")
        return "too late"

    return work


@pytest.mark.parametrize("honour", [True, False], ids=["raises Cancelled", "returns late"])
def test_stopped_work_is_cancelled_and_its_result_dropped(qtbot, honour):
    started = threading.Event()
    job = Job(_until_stopped(started, honour=honour), "ct")
    outcomes = Outcomes(job)
    with qtbot.waitSignal(job.ended, timeout=5000):
        job.start()
        qtbot.waitUntil(started.is_set)
        job.stop()
    assert outcomes.seen == [("cancelled", None)]


def test_quitting_the_worker_as_napari_does_stops_the_work(qtbot):
    started = threading.Event()
    job = Job(_until_stopped(started, honour=True), "ct")
    outcomes = Outcomes(job)
    with qtbot.waitSignal(job.ended, timeout=5000):
        job.start()
        qtbot.waitUntil(started.is_set)
        FunctionWorker.await_workers(5000)
    assert outcomes.seen == [("cancelled", None)]


def test_an_abandoned_job_stops_and_says_nothing(qtbot):
    started, finished = threading.Event(), threading.Event()

    def work(progress, should_stop):
        started.set()
        patience = threading.Event()
        while not should_stop():
            patience.wait(0.005)
        progress(1, 1)
        finished.set()
        raise RuntimeError("nobody wants to know")

    job = Job(work, "ct")
    outcomes = Outcomes(job)
    job.start()
    qtbot.waitUntil(started.is_set)
    job.abandon()
    qtbot.waitUntil(finished.is_set)
    qtbot.waitUntil(lambda: job not in Job._running)
    assert outcomes.seen == []
