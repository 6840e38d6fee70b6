"""What identifies a patient stays in the files it came from."""

from __future__ import annotations

import json
import logging
import threading
import warnings

import numpy as np
import pydicom
import pytest
from dicom_factory import make_series, save_all
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from seg_cases import patient_series

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io.quiet import quietly

PATIENT_NAME = "Zzpatient"


def save_raw(slices, folder, tag, vr, value):
    """Save slices with an element as no sound writer would write it."""
    folder.mkdir()
    for one in slices:
        one.dataset._dict[Tag(tag)] = RawDataElement(
            Tag(tag), vr, len(value), value, 0, False, True
        )
        pydicom.dcmwrite(folder / one.name, one.dataset, enforce_file_format=True)
    return folder


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        pytest.param(0x00080005, "CS", b"Zzpatient ", id="character set"),
        pytest.param(0x0020000D, "UI", b"1.2.Zzpatient ", id="study"),
        pytest.param(0x00100010, "PN", b"Zzpatient=a=b=c " + 70 * b"Z", id="name"),
        pytest.param(0x00200011, "IS", b"Zzpatient ", id="series number"),
    ],
)
def test_libraries_do_not_quote_headers(tmp_path, caplog, capfd, tag, vr, value):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        folder = save_raw(patient_series(5), tmp_path / "ct", tag, vr, value)
        warned.clear()
        caplog.clear()
        volume = io.read_volume(folder)
        io.list_items(folder)
        io.picture_of(folder, volume.source.item)
        io.identifying_facts(folder)
        for name, kind in (("mask.dcm", np.uint8), ("map.dcm", np.float32)):
            try:
                values = np.ones(volume.voxels.shape, kind)
                io.write_volume(tmp_path / name, values, volume.grid, like=volume.source)
                io.read_volume(tmp_path / name)
            except VolumeError as refused:
                assert PATIENT_NAME not in str(refused)  # noqa: PT017 - some are refused, some are not
    assert not [w for w in warned if PATIENT_NAME in str(w.message) or "pydicom" in w.filename]
    assert PATIENT_NAME not in caplog.text
    assert PATIENT_NAME not in "".join(capfd.readouterr())


def test_only_the_thread_that_reads_is_silenced():
    def warn():
        warnings.warn("quoting", UserWarning, stacklevel=1)
        logging.getLogger("pydicom").warning("quoting")

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with quietly():
            warn()
            assert not warned
            other = threading.Thread(target=warn)
            other.start()
            other.join()
        assert len(warned) == 1
        warn()
        assert len(warned) == 2


def test_what_is_exported_names_no_folder(tmp_path):
    folder = tmp_path / f"{PATIENT_NAME}^Quentin"
    save_all(make_series(5), folder)
    (folder / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\x08\0\x05\0CS\xff\xff")
    volume = io.read_volume(folder, allow=["leave-out-odd"])
    said = json.dumps(volume.source.as_provenance())
    assert "broken.dcm" in said
    assert '"ct": "made up"' in said
    assert PATIENT_NAME not in said
    assert PATIENT_NAME not in volume.name
