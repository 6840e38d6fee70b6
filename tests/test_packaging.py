"""What an installation of napari-hirescam promises: its manifest, its samples, its lean imports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_hirescam
from napari_hirescam import sample
from napari_hirescam.errors import HirescamError, ModelFileError, VolumeError

ROOT = Path(__file__).resolve().parents[1]
NAME = "napari-hirescam"
QT_BINDINGS = {"pyqt5", "pyqt6", "pyside2", "pyside6", "pyside6-essentials", "pyside6-addons"}

SLOW = {
    *("torch", "monai", "nibabel", "pydicom", "matplotlib"),
    *("lightning", "torchmetrics", "pandas", "pyarrow", "sklearn"),
    *("statsmodels", "krippendorff"),
}
# The window's own imports, and napari's.
OF_THE_WINDOW = {
    *("scipy", "skimage", "jinja2"),
    *("napari", "magicgui", "vispy", "superqt", "qtpy", "PySide6", "PyQt6"),
}


def distribution_name(requirement: str) -> str:
    """Return the normalised name at the head of a requirement."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


class TestManifest:
    def test_the_installed_manifest_is_the_root_file_byte_for_byte(self):
        package = find_spec("napari_hirescam")
        installed = Path(package.submodule_search_locations[0]) / "napari.yaml"

        assert installed.read_bytes() == (ROOT / "napari.yaml").read_bytes()

    def test_napari_finds_it_through_the_installed_distribution(self):
        found = PluginManifest.from_distribution(NAME)

        assert found.contributions == PluginManifest.from_file(ROOT / "napari.yaml").contributions
        assert found.package_version == napari_hirescam.__version__

    def test_every_name_it_declares_can_be_imported(self):
        manifest = PluginManifest.from_distribution(NAME)

        manifest.validate_imports()

        assert {command.id for command in manifest.contributions.commands} == {
            "napari-hirescam.read_ct",
            "napari-hirescam.write_labels",
            "napari-hirescam.write_image",
            "napari-hirescam.open_phantom",
            "napari-hirescam.widget",
            "napari-hirescam.review",
        }

    @pytest.mark.parametrize("name", ["chest.nii", "chest.nii.gz", "slice_001.dcm"])
    def test_the_reader_takes_nifti_and_dicom_files_and_folders(self, name):
        (reader,) = PluginManifest.from_file(ROOT / "napari.yaml").contributions.readers

        assert any(Path(name).match(pattern) for pattern in reader.filename_patterns)
        assert reader.accepts_directories

    def test_the_reader_leaves_other_compressed_files_alone(self):
        (reader,) = PluginManifest.from_file(ROOT / "napari.yaml").contributions.readers

        assert not any(Path("table.csv.gz").match(p) for p in reader.filename_patterns)

    def test_the_settings_start_within_their_own_bounds(self):
        overlay = PluginManifest.from_file(ROOT / "napari.yaml").contributions.configurations[
            "overlay"
        ]

        assert set(overlay.properties) == {"opacity", "threshold"}
        for setting in overlay.properties.values():
            assert setting.minimum <= setting.default <= setting.maximum


class TestDistribution:
    def test_the_version_is_the_one_the_package_states(self):
        assert distribution(NAME).version == napari_hirescam.__version__

    def test_the_change_log_speaks_of_this_version(self):
        log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

        assert napari_hirescam.__version__ in log

    def test_no_qt_binding_comes_unasked(self, project):
        names = {distribution_name(requirement) for requirement in project["dependencies"]}

        assert "napari" in names
        assert not names & QT_BINDINGS
        assert not any(re.match(r"napari\s*\[", r) for r in project["dependencies"])

    def test_the_constraints_pin_every_dependency_to_a_public_release(self, project):
        lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        pins = [line for line in lines if line and not line.startswith("#")]
        pinned = {distribution_name(pin) for pin in pins}
        wanted = {
            distribution_name(requirement)
            for extra in ("pyside6", "test", "dev")
            for requirement in project["dependencies"] + project["optional-dependencies"][extra]
        }

        assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", pin) for pin in pins)
        assert wanted - {NAME} <= pinned

    def test_the_command_of_the_console_script_exists(self):
        (script,) = distribution(NAME).entry_points.select(group="console_scripts")

        assert script.name == NAME
        assert callable(script.load())


class TestImports:
    @pytest.mark.parametrize(
        ("modules", "heavy"),
        [
            (["cli"], SLOW | OF_THE_WINDOW),
            (["plugin.reader", "plugin.widget", "plugin.reviewing.review_widget"], SLOW),
        ],
    )
    def test_importing_loads_no_heavy_package(self, modules, heavy):
        named = ", ".join(f"napari_hirescam.{module}" for module in modules)
        code = f"import json, sys, {named}; print(json.dumps(sorted(sys.modules)))"

        done = subprocess.run(  # noqa: S603 - our own interpreter and our own words
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
        )

        assert done.returncode == 0, done.stderr
        assert heavy.isdisjoint(json.loads(done.stdout))


class TestSamples:
    def test_the_sample_ct_and_model_are_there(self):
        assert sample.sample_ct_path().is_file()
        assert (sample.sample_model_path() / "model.yaml").is_file()

    def test_the_packages_own_copy_comes_before_the_checkouts(self, tmp_path, monkeypatch):
        for place in (tmp_path / "package" / "sample_data", tmp_path / "sample_data"):
            place.mkdir(parents=True)
            (place / "phantom_chest_ct.nii.gz").write_bytes(b"CT")
        monkeypatch.setattr(sample, "_PACKAGE", tmp_path / "package")

        assert sample.sample_ct_path().parent == tmp_path / "package" / "sample_data"

    @pytest.mark.parametrize(
        ("find", "error"),
        [(sample.sample_ct_path, VolumeError), (sample.sample_model_path, ModelFileError)],
    )
    def test_a_missing_sample_is_an_error_with_a_remedy(self, find, error, tmp_path, monkeypatch):
        monkeypatch.setattr(sample, "_PACKAGE", tmp_path / "package")

        with pytest.raises(error, match="sample_data") as raised:
            find()

        assert isinstance(raised.value, HirescamError)
        assert "Reinstall" in raised.value.remedy

    def test_a_model_folder_without_its_yaml_is_no_sample(self, tmp_path, monkeypatch):
        (tmp_path / "sample_data" / "phantom_axialnet").mkdir(parents=True)
        monkeypatch.setattr(sample, "_PACKAGE", tmp_path / "package")

        with pytest.raises(ModelFileError, match=r"model\.yaml"):
            sample.sample_model_path()
