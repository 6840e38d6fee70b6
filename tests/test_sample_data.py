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
from napari_hirescam.cases import phantom_table
from napari_hirescam.evaluation import chance_share, covered_fraction, share_inside
from napari_hirescam.evaluation.cohort import evaluate_cohort
from napari_hirescam.io import read_volume
from napari_hirescam.models import Classifier, load_model
from napari_hirescam.phantom import FINDING_ORGAN, Phantom
from napari_hirescam.sample import sample_ct_path, sample_model_path
from napari_hirescam.training import TrainingSettings, read_settings

FOLDER = Path(__file__).resolve().parents[1] / "sample_data"
#: Patients of a study of their own, to be judged on.
UNSEEN = phantom_table(0, 4, 10, seed=30, spacing_mm=(4.0, 2.5, 2.5))
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


@pytest.fixture(scope="module")
def settings() -> TrainingSettings:
    return read_settings(FOLDER / "phantom_axialnet.yaml")


class TestSampleModel:
    def test_is_what_its_configuration_trains(
        self, classifier: Classifier, settings: TrainingSettings
    ) -> None:
        spec = classifier.spec
        assert (spec.name, spec.labels) == (settings.name, settings.model.labels)
        assert spec.architecture == settings.model.architecture
        assert spec.input == settings.model.input
        assert spec.organs == {label: (FINDING_ORGAN[label],) for label in spec.labels}
        told = spec.provenance["settings"]
        assert told["loss"] == settings.loss.model_dump(mode="json", exclude_none=True)
        assert told["optimizer"] == settings.optimizer.model_dump(mode="json", exclude_none=True)
        assert spec.provenance["training_cases"] == settings.data.phantoms.train
        assert spec.provenance["epochs"] == settings.run.epochs
        assert spec.provenance["seed"] == settings.seed

    def test_its_weights_are_those_of_its_folder(self, classifier: Classifier) -> None:
        assert classifier.weights_sha256 == classifier.spec.weights_sha256
        assert (sample_model_path() / "weights.safetensors").stat().st_size < 1.5e6

    def test_patients_it_learned_from_are_not_those_it_is_judged_on(
        self, settings: TrainingSettings
    ) -> None:
        given = settings.data.phantoms
        learned = phantom_table(given.train, given.valid, 0, seed=given.seed)
        judged = phantom_table(0, 40, 40, seed=0)  # what `make evaluate` draws
        seeds = {case.seed for case in learned.cases}
        assert len(seeds) == given.train + given.valid
        assert not seeds & {case.seed for case in judged.cases}
        assert not seeds & {case.seed for case in UNSEEN.cases}
        assert script("make_sample_ct").SEED not in seeds

    def test_was_good_on_phantoms_it_had_not_learned_from(self, classifier: Classifier) -> None:
        metrics = classifier.spec.metrics
        assert metrics["cases"] >= 20
        assert set(metrics["auroc"]) == set(classifier.labels)
        assert metrics["mean_auroc"] >= 0.9

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
        result = evaluate_cohort(classifier, UNSEEN)
        found = result.summary(n_replicates=1).set_index(["level", "method", "measure"])
        assert len(result.cases) == 10
        assert found.loc[("macro", "", "auroc"), "value"] > 0.85
        shares = found.loc[("macro", "hirescam", "share_inside")]
        assert shares["value"] > 2 * shares["chance"]
        residuals = [abs(row.residual) for case in result.cases for row in case.rows]
        assert np.nanmax(residuals) < 1e-3
