"""``reproduce covid``: a slice network with and without the mask loss, one patient left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset
from typer.testing import CliRunner

from napari_hirescam.cli import app
from napari_hirescam.errors import AttributionError, Cancelled, CaseTableError, OrganError
from napari_hirescam.organs import OrganMap
from napari_hirescam.reproduce.covid import (
    CovidSettings,
    attention_of,
    leave_one_out,
    make_network,
)
from napari_hirescam.reproduce.covid_data import Chest, read_chests
from napari_hirescam.reproduce.covid_page import Run, lines_of, runs_of
from napari_hirescam.reproduce.covid_slices import allowed_cells, slices_of, with_lungs
from napari_hirescam.reproduce.image_training import ImageTraining, train_on_images

SIDE = 64


def made_chest(name: str, seed: int, *, labelled: bool = True, n: int = 24) -> Chest:
    """Make a body of 40 HU with two square lungs; half of the slices have a bright spot in one.

    Infected slices show a cue outside the lungs too, a bright bar on the left of the chest.
    """
    rng = np.random.default_rng(seed)
    hu = np.full((n, 64, 64), -1000, dtype=np.float32)
    hu[:, 8:56, 4:60] = 40
    lungs = np.zeros(hu.shape, dtype=bool)
    lungs[:, 16:48, 8:28] = lungs[:, 16:48, 36:56] = True
    hu[lungs] = -850
    infected = (np.arange(n) % 2 == 0) & labelled
    for index in np.flatnonzero(infected):
        row, column = rng.integers(18, 38), rng.choice((10, 38)) + rng.integers(0, 8)
        hu[index, row : row + 8, column : column + 8] = -100
        hu[index, 20:44, 57:60] = 400
    hu += rng.normal(0, 20, hu.shape)
    return Chest(name, hu.astype(np.int16), infected, lungs, (2.0, 5.0, 5.0))


def made_file(folder: Path, **changes: object) -> Path:
    content: dict[str, object] = {}
    for k, name in enumerate(("a", "b", "healthy")):
        chest = made_chest(name, k, labelled=name != "healthy")
        content[f"{name}_hu"] = chest.hu
        content[f"{name}_slice_infected"] = chest.infected.astype(np.uint8)
        packed = np.packbits(chest.lungs.reshape(len(chest.hu), -1), axis=1)
        content[f"{name}_lung_threshold_mask"] = packed
        content[f"{name}_spacing_zyx"] = np.array(chest.spacing_mm)
    content |= changes
    np.savez(folder / "chests.npz", **{k: v for k, v in content.items() if v is not None})
    return folder / "chests.npz"


def test_a_file_of_chests_is_read_as_it_was_written(tmp_path) -> None:
    chests = read_chests(made_file(tmp_path))
    assert [chest.name for chest in chests] == ["a", "b", "healthy"]
    expected = made_chest("b", 1)
    assert np.array_equal(chests[1].hu, expected.hu)
    assert np.array_equal(chests[1].lungs, expected.lungs)
    assert np.array_equal(chests[1].infected, expected.infected)
    assert [chest.is_labelled for chest in chests] == [True, True, False]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"a_spacing_zyx": None}, "patient a has no spacing_zyx"),
        ({"a_hu": np.zeros((24, 64, 64))}, "hu is float64"),
        ({"a_slice_infected": np.full(24, 2)}, "not a 0 or 1"),
        ({"a_slice_infected": np.zeros(3)}, "not a 0 or 1"),
        ({"a_spacing_zyx": np.array((1, 0, 1))}, "three positive numbers"),
        ({"a_lung_threshold_mask": np.zeros((24, 3), np.uint8)}, "do not fit"),
        ({"a_slice_infected": np.zeros(24)}, "1 of its 3 patients"),
        ({"a_hu": np.array([{}], dtype=object)}, "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, changes, reason) -> None:
    with pytest.raises(CaseTableError, match=reason):
        read_chests(made_file(tmp_path, **changes))


def test_a_file_that_is_missing_or_torn_is_refused(tmp_path) -> None:
    with pytest.raises(CaseTableError, match="no such file"):
        read_chests(tmp_path / "absent.npz")
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(CaseTableError, match="cannot be read"):
        read_chests(tmp_path / "torn.npz")


def test_a_chest_stands_upright_in_the_packages_frame() -> None:
    """The file's slices run from the feet up, the package's from the head down."""
    chest = made_chest("a", 0)
    volume = chest.volume()
    assert np.array_equal(volume.voxels[0], chest.hu[-1])
    marked = np.zeros(volume.voxels.shape, dtype=bool)
    marked[0] = True  # the top
    assert np.flatnonzero(chest.with_lungs(marked).lungs.any((1, 2))).tolist() == [23]


def test_lungs_by_partition_are_asked_for_by_patient(monkeypatch) -> None:
    chest = made_chest("a", 0)

    def found(volume):
        mask = volume.voxels < -500
        return OrganMap.from_masks({"lungs": mask}, volume.affine, "made", ("it is made up",))

    monkeypatch.setattr("napari_hirescam.organs.find_organs", found)
    (with_them,), doubts = with_lungs([chest], "partition")
    assert np.array_equal(with_them.lungs, chest.hu < -500)
    assert doubts == ("a: it is made up",)
    assert with_lungs([chest], "threshold") == ((chest,), ())

    def refuses(volume):
        raise OrganError("CT", "this is no chest", "Choose another")

    monkeypatch.setattr("napari_hirescam.organs.find_organs", refuses)
    with pytest.raises(OrganError, match=r"a: this is no chest.*--lungs threshold"):
        with_lungs([chest], "partition")


def test_cells_tell_how_much_of_them_is_lung() -> None:
    slices = slices_of(made_chest("a", 0), SIDE, (8, 8))
    # lungs in rows 16 to 48, columns 8 to 28 and 36 to 56: cells of 8 pixels
    row = np.array([0, 1, 1, 0.5, 0.5, 1, 1, 0])
    for index in range(8):
        expected = row if 2 <= index < 6 else 0 * row
        assert slices.lungs[5, index] == pytest.approx(expected)
    # the body reaches from column 4 to 60 and is filled: lungs belong to it
    assert slices.body[5, 3] == pytest.approx(np.array([0.5, 1, 1, 1, 1, 1, 1, 0.5]))
    assert slices.images.shape == (24, 1, SIDE, SIDE)
    assert float(slices.images[0, 0, 0, 0]) == pytest.approx(-0.5, abs=0.1)


def test_no_cell_is_allowed_without_infection() -> None:
    slices = slices_of(made_chest("a", 0), SIDE, (8, 8))
    allowed = allowed_cells(slices)
    assert allowed.shape == (24, 1, 1, 8, 8)
    assert not allowed[1].any()
    # half of a cell is enough
    assert allowed[0, 0, 0, 3].tolist() == [False, True, True, True, True, True, True, False]


def test_the_small_network_is_one_linear_layer_at_the_end() -> None:
    network = make_network(SIDE, 0)
    attention = attention_of(network, SIDE)
    assert attention.guarantee.holds
    assert attention.closed_form
    assert attention.cells == (1, 8, 8)
    same, other = make_network(SIDE, 0), make_network(SIDE, 1)
    weights = [part.state_dict()["net.layer_0.conv.weight"] for part in (network, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def made_images(n: int = 12) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(n, 1, SIDE, SIDE, generator=generator)
    targets = (torch.arange(n) % 2).float()[:, None]
    return TensorDataset(images, targets, torch.zeros(n, 1, 1, 8, 8, dtype=torch.bool))


def test_training_follows_its_seed_and_spares_the_global_generator() -> None:
    weights = []
    state = torch.get_rng_state()
    for seed in (0, 0, 1):
        network = make_network(SIDE, 0)
        attention = attention_of(network, SIDE)
        settings = ImageTraining(1, 5, 1e-3, mask_weight=0.1, flips=True, seed=seed)
        train_on_images(network, made_images(), settings, attention=attention)
        assert not network.training
        weights.append(network.state_dict()["final.1.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_one_step_of_sgd_by_hand() -> None:
    """At this scale the mask loss is the mean softplus of every cell times their number."""
    images, targets, allowed = made_images(4).tensors
    network = make_network(SIDE, 0)
    network.train()
    logits, maps = attention_of(network, SIDE)(images)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    (entropy + 0.3 * torch.nn.functional.softplus(64 * maps).mean()).backward()
    weight = network.get_parameter("final.1.weight")
    expected = weight.detach() - 0.01 * weight.grad
    trained = make_network(SIDE, 0)
    attention = attention_of(trained, SIDE, scale="per_cell")
    settings = ImageTraining(1, 4, 0.01, "sgd", mask_weight=0.3)
    train_on_images(trained, TensorDataset(images, targets, allowed), settings, attention=attention)
    assert torch.allclose(trained.get_parameter("final.1.weight"), expected, atol=1e-6)


def test_images_are_mirrored_with_their_allowed_cells() -> None:
    from napari_hirescam.reproduce.image_training import _Module

    images, targets, _ = made_images(40).tensors
    allowed = torch.arange(40 * 64).reshape(40, 1, 1, 8, 8)
    module = _Module(torch.nn.Identity(), ImageTraining(1, 4, 0.1, flips=True), None)
    torch.manual_seed(0)
    flipped, same, cells = module._mirrored([images, targets, allowed])
    assert torch.equal(same, targets)
    turned = 0
    for k in range(40):
        if torch.equal(flipped[k], images[k]):
            assert torch.equal(cells[k], allowed[k])
        else:
            assert torch.equal(flipped[k], images[k].flip(-1))
            assert torch.equal(cells[k], allowed[k].flip(-1))
            turned += 1
    assert 8 < turned < 32


def test_training_stops_when_asked_and_when_the_loss_is_lost() -> None:
    network = make_network(SIDE, 0)
    attention = attention_of(network, SIDE)
    with pytest.raises(Cancelled):
        train_on_images(network, made_images(), ImageTraining(9, 4, 1e-3), should_stop=lambda: True)
    images, targets, allowed = made_images().tensors
    broken = TensorDataset(images * float("nan"), targets, allowed)
    with pytest.raises(AttributionError, match="no number"):
        train_on_images(network, broken, ImageTraining(1, 4, 1e-3), attention=attention)
    with pytest.raises(ValueError, match="needs attention"):
        train_on_images(network, broken, ImageTraining(1, 4, 1e-3, mask_weight=1))


def test_the_mask_loss_brings_attention_into_the_lungs() -> None:
    """Made chests have a cue outside the lungs; only labelled patients are left out."""
    chests = [made_chest("a", 0), made_chest("b", 1), made_chest("healthy", 2, labelled=False)]
    settings = CovidSettings((0.0, 1.0), (0,), epochs=6, batch_size=8, learning_rate=3e-3)
    steps: list[tuple[int, int]] = []
    rows, seen, guarantee = leave_one_out(
        chests, settings, progress=lambda done, total: steps.append((done, total))
    )
    assert steps[-1] == (4, 4)
    assert guarantee.startswith("exact")
    assert {row.patient for row in rows} == {"a", "b"}
    assert len(rows) == 24 * 2 * 2
    assert max(abs(row.residual) for row in rows) < 1e-4
    assert {item.chest.name for item in seen} == {"a", "b"}
    assert set(seen[0].maps) == {(w, m) for w in (0.0, 1.0) for m in ("hirescam", "gradcam")}
    assert max(float(stack.max()) for stack in seen[0].maps.values()) == pytest.approx(1)
    without, with_loss = lines_of(runs_of(rows), 0)
    assert with_loss.hirescam.value > without.hirescam.value + 0.1
    assert with_loss.auroc.value > 0.9
    with pytest.raises(Cancelled):
        leave_one_out(chests, settings, should_stop=lambda: True)


def test_lines_are_means_over_networks_and_changes_are_paired() -> None:
    run = Run("a", 0.0, 0, 0.6, 0.2, float("nan"), {"hirescam": 1, "gradcam": 4}, 0.3, 0.4)
    runs = [
        run,
        replace(run, patient="b", auroc=0.8, hirescam=0.4),
        replace(run, mask_weight=0.3, auroc=0.5, hirescam=0.6),
        replace(run, patient="b", mask_weight=0.3, auroc=0.9, hirescam=float("nan")),
    ]
    first, second = lines_of(runs, 0)
    assert first.auroc.value == pytest.approx(0.7)
    assert first.auroc_change.value == 0
    assert second.auroc_change.value == pytest.approx(0)
    assert (second.auroc_change.low, second.auroc_change.high) == pytest.approx((-0.1, 0.1))
    assert second.share_change.value == pytest.approx(0.4)  # of the one that has a map
    assert np.isnan(second.gradcam.value)
    assert second.without_map == {"hirescam": 2, "gradcam": 8}


def test_the_command_leaves_a_report_its_figures_and_pictures(tmp_path) -> None:
    arguments = ["reproduce", "covid", "--data", str(made_file(tmp_path)), "--seeds", "1"]
    arguments += ["--epochs", "1", "--lambda", "0", "--lambda", "0.3", "--out", str(tmp_path / "o")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "o/figures.json").read_text())
    assert [line["mask_weight"] for line in figures["by_mask_weight"]] == [0, 0.3]
    assert len(figures["runs"]) == 4
    assert f"{figures['runs'][0]['auroc']:.3f}" in (tmp_path / "o/report.html").read_text()
    pictures = {picture.name for picture in (tmp_path / "o/pictures").iterdir()}
    assert "trade.png" in pictures
    assert len(pictures) == 3
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    assert "--overwrite" in again.output


def test_real_chests_are_read(shared_dir) -> None:
    chests = read_chests(shared_dir / "data/covid_ct_md/covid_ct_md_5patients_128px.npz")
    assert sum(len(chest.hu) for chest in chests) == 768
    assert [chest.name for chest in chests if chest.is_labelled] == ["P001", "cap001", "cap002"]
    slices = slices_of(chests[0], SIDE, (8, 8))
    # The middle of the chest: a good part of the slice is lung, and lung lies in the body.
    middle = len(chests[0].hu) // 2
    assert 0.1 < slices.lungs[middle].mean() < slices.body[middle].mean() < 0.8
