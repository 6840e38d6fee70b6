"""Files damaged at random: a plain refusal or a sound volume, soon and in little memory.

The readers run in child processes, so that a crash, a hang or a hunger for memory would be seen
and not felt. `pytest -m long` damages twenty times as many files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COUNTS = {"nifti": 1000, "dicom": 1000, "nrrd": 300, "metaimage": 300, "npz": 300}
LONG = 20


def fuzz(name: str, first: int, last: int, folder: Path) -> dict[str, object]:
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(HERE / "fuzzing.py"),
        name,
        str(first),
        str(last),
        str(folder),
    ]
    path = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, f"the reader's process ended: {done.stderr[-3000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def check(name: str, first: int, last: int, folder: Path) -> None:
    found = fuzz(name, first, last, folder)
    assert found["faults"] == []
    # Both happen: the damage is neither harmless nor always deadly.
    assert found["refused"] > (last - first) // 20
    assert found["read"] > (last - first) // 50
    assert found["refused"] + found["read"] == last - first


@pytest.mark.parametrize("name", COUNTS)
def test_damaged_files_are_refused_or_read(tmp_path, name):
    check(name, 0, COUNTS[name], tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", COUNTS)
def test_many_more_damaged_files_are_refused_or_read(tmp_path, name):
    check(name, COUNTS[name], LONG * COUNTS[name], tmp_path)


@pytest.mark.parametrize(
    ("mistake", "seen"),
    [
        ("{}['x']", "KeyError"),
        ("__import__('time').sleep(9)", "Timeout"),
        ("b'x' * (400 << 20)", "took 4"),
        ("b'x' * (8 << 30)", "MemoryError"),
        ("__import__('os').abort()", "process ended"),
    ],
)
def test_what_a_reader_must_never_do_is_seen(tmp_path, mistake, seen):
    """The guards themselves, on a reader with a mistake put into it."""
    (tmp_path / "files").mkdir()
    # A busy machine takes its time over 400 MB; only the one that sleeps is to be too slow.
    seconds = 1 if seen == "Timeout" else 60
    (tmp_path / "mistaken.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "import fuzzing\n"
        "def wrong(path):\n"
        f"    return [{mistake}]\n"
        f"fuzzing.read_every_way, fuzzing.SECONDS = wrong, {seconds}\n"
        "fuzzing.main('nifti', 0, 2, Path(sys.argv[1]))\n"
    )
    command = [sys.executable, str(tmp_path / "mistaken.py"), str(tmp_path / "files")]
    path = os.pathsep.join([str(HERE.parent), str(HERE)])
    done = subprocess.run(  # noqa: S603
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    told = done.stdout + done.stderr + ("process ended" if done.returncode else "")
    assert seen in told
