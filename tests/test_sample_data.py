"""The sample CT and the sample model that come with the plugin."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest

from napari_hirescam.attention import explain
from napari_hirescam.evaluation import chance_share, covered_fraction, share_inside
from napari_hirescam.io import read_volume
from napari_hirescam.models import Classifier, load_model
from napari_hirescam.phantom import FINDING_ORGAN, Phantom
from napari_hirescam.sample import sample_ct_path, sample_model_path

FOLDER = Path(__file__).resolve().parents[1] / "sample_data"
FILES = (
    "phantom_chest_ct.nii.gz",
    "phantom_organs.nii.gz",
    "phantom_findings.nii.gz",
    "phantom_labels.json",
)


def script(name: str) -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        return __import__(name)
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh")
    script("make_sample_ct").write_sample(folder)
    return folder


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return script("make_sample_ct").sample_phantom()


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_model(sample_model_path(), device="cpu")


def voxels(file: Path) -> np.ndarray:
    return np.asanyarray(nib.load(file).dataobj)


class TestSampleCt:
    def test_made_again_it_has_the_same_bytes(self, fresh: Path, tmp_path: Path) -> None:
        script("make_sample_ct").write_sample(tmp_path)
        for name in FILES:
            assert (tmp_path / name).read_bytes() == (fresh / name).read_bytes(), name

    @pytest.mark.parametrize("name", FILES[:3])
    def test_what_lies_in_the_repository_is_what_the_script_makes(
        self, fresh: Path, name: str
    ) -> None:
        # Another processor may round a voxel differently here and there; noise is 15 HU.
        kept, made = voxels(FOLDER / name).astype(int), voxels(fresh / name).astype(int)
        assert kept.shape == made.shape
        assert (kept != made).mean() < 1e-3

    def test_the_table_of_labels_is_the_script_s(self, fresh: Path) -> None:
        assert json.loads((FOLDER / FILES[3]).read_text()) == json.loads(
            (fresh / FILES[3]).read_text()
        )

    def test_is_stored_as_ras_and_read_back_as_made(self, phantom: Phantom) -> None:
        image = nib.load(sample_ct_path())
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
        assert image.get_data_dtype() == np.int16
        volume = read_volume(sample_ct_path())
        assert volume.grid.same_place_as(phantom.volume.grid)
        assert np.abs(volume.voxels.astype(int) - phantom.volume.voxels).mean() < 1

    def test_label_maps_name_organs_and_findings(self, phantom: Phantom) -> None:
        table = json.loads((FOLDER / "phantom_labels.json").read_text())
        labels = voxels(FOLDER / "phantom_findings.nii.gz")
        assert set(np.unique(labels)) == {0, *table["findings"].values()}
        organs = voxels(FOLDER / "phantom_organs.nii.gz")
        assert set(np.unique(organs)) == {0, *table["organs"].values()}
        spacing = np.prod(phantom.volume.spacing_mm)
        heart = (organs == table["organs"]["heart"]).sum() * spacing
        assert heart == pytest.approx(phantom.organs["heart"].sum() * spacing, rel=0.1)

    def test_the_folder_stays_small(self) -> None:
        size = sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file())
        assert size < 12e6


class TestSampleModel:
    def test_says_what_it_is(self, classifier: Classifier) -> None:
        spec = classifier.spec
        assert spec.labels == script("train_sample_model").LABELS
        assert spec.organs == {label: (FINDING_ORGAN[label],) for label in spec.labels}
        assert classifier.weights_sha256 == spec.weights_sha256
        assert set(spec.metrics["auroc"]) == set(spec.labels)
        assert spec.provenance["script"] == "sample_data/train_sample_model.py"

    def test_weights_are_small(self) -> None:
        assert (sample_model_path() / "weights.safetensors").stat().st_size < 1.5e6

    def test_patients_it_learned_from_are_not_those_it_is_judged_on(self) -> None:
        training = script("train_sample_model").TRAINING_SEEDS
        judged = script("evaluate_sample_model").TEST_SEEDS
        assert not set(training) & {*judged, script("make_sample_ct").SEED}
        assert len(judged) >= 20

    def test_was_good_on_unseen_phantoms(self, classifier: Classifier) -> None:
        assert classifier.spec.metrics["held_out_phantoms"] >= 20
        assert classifier.spec.metrics["mean_auroc"] >= 0.9

    def test_finds_what_the_sample_ct_shows_where_it_is(
        self, classifier: Classifier, phantom: Phantom
    ) -> None:
        explanation = explain(read_volume(sample_ct_path()), classifier)
        present = {
            label
            for label, probability in zip(
                explanation.labels, explanation.probabilities, strict=True
            )
            if probability > 0.5
        }
        assert present == set(phantom.findings)
        for label in present:
            assert explanation.verified(label)
            attention = explanation.map(label)
            organ = phantom.organs[FINDING_ORGAN[label]]
            inside = covered_fraction(organ, phantom.volume.affine, attention.grid)
            assert share_inside(attention.values, inside) > 2 * chance_share(inside)

    def test_attention_keeps_to_the_organ_in_unseen_phantoms(self, classifier: Classifier) -> None:
        report = script("evaluate_sample_model").evaluate(classifier, range(30_000, 30_010))
        assert report.patients == 10
        assert report.mean_auroc > 0.85
        assert report.mean_inside("hirescam") > 2 * report.mean_chance()
        assert report.mean_inside("hirescam") > report.mean_chance(body=True)
        assert report.largest_residual < 1e-3
