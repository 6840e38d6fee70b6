"""``reproduce luna``: nodules with outlines, and where a nodule network looks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from archives import unpack
from typer.testing import CliRunner

from napari_hirescam.cli import app
from napari_hirescam.errors import CaseTableError, InputError
from napari_hirescam.io import write_volume
from napari_hirescam.models.nodule_net import NoduleNet
from napari_hirescam.reproduce.luna import (
    at_layers,
    look_at_nodules,
    nodule_classifier,
    nodule_label,
)
from napari_hirescam.reproduce.luna_data import Nodule, find_nodules
from napari_hirescam.reproduce.luna_measures import look, share_of_others_maps, windows_beside
from napari_hirescam.reproduce.luna_page import centred_crops
from napari_hirescam.reproduce.luna_page import windows_beside as beside_summaries
from napari_hirescam.volume import Quantity, Volume, scaling, translation

SPACING = (2.0, 1.0, 1.0)
MIDDLE = (30.0, 30.0, 34.0)


@pytest.fixture
def weights(tmp_path) -> Path:
    """Weights of a nodule network that was never trained."""
    torch.manual_seed(3)
    file = tmp_path / "nodules.pt"
    torch.save({"model_state": NoduleNet().state_dict()}, file)
    return file


def made_scan() -> tuple[Volume, Volume]:
    """Make noise with a bright ball of 5 mm at MIDDLE, and marks: one reader saw it twice as wide.

    MIDDLE is (I, P, L) mm; the first voxel lies at (-10, -20, -10) mm.
    """
    affine = translation((-10.0, -20.0, -10.0)) @ scaling(SPACING)
    rng = np.random.default_rng(0)
    voxels = rng.normal(-800, 60, size=(40, 90, 90)).astype(np.float32)
    places = np.moveaxis(np.indices(voxels.shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    distance = np.linalg.norm(places - MIDDLE, axis=-1)
    voxels[distance <= 5] = 50
    marks = (distance <= 10).astype(np.uint8) + 2 * (distance <= 5)
    return (
        Volume(voxels, affine, "made"),
        Volume(marks.astype(np.uint8), affine, "marks", quantity=Quantity.LABELS),
    )


def made_nodule() -> Nodule:
    ct, marks = made_scan()
    return Nodule("made", "scan", ct, marks.voxels, MIDDLE)


def write_scan(folder: Path, name: str) -> None:
    ct, marks = made_scan()
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(folder / f"{name}_ct.nii.gz", ct.voxels, ct.grid)
    write_volume(folder / f"{name}_nodule_readers.nii.gz", marks.voxels, marks.grid)


def write_crops(folder: Path, *, packed: bool, n: int = 4) -> np.ndarray:
    """Write crops of 40 voxels; the last mask is empty, and that before it is cut."""
    rng = np.random.default_rng(1)
    voxel = rng.integers(0, 60, size=(n, 40, 40, 40), dtype=np.uint8)
    seg = np.zeros((n, 40, 40, 40), dtype=bool)
    seg[:-1, 16:24, 16:24, 16:24] = True
    seg[-2, 16:24, 16:24, 16:] = True
    voxel[seg] = 200
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "crops.npz", voxel=voxel, seg=np.packbits(seg.reshape(n, -1), 1) if packed else seg
    )
    return seg


def test_a_scan_is_found_by_the_name_of_its_marks(tmp_path) -> None:
    write_scan(tmp_path, "LIDC-1")
    write_scan(tmp_path, "LIDC-10")
    found = find_nodules([tmp_path])
    names = [(ct.name, marks.name) for ct, marks in found.scans]
    assert names == [
        ("LIDC-10_ct.nii.gz", "LIDC-10_nodule_readers.nii.gz"),
        ("LIDC-1_ct.nii.gz", "LIDC-1_nodule_readers.nii.gz"),
    ]
    nodule = next(found.read_scans())
    assert nodule.centre_mm == pytest.approx(MIDDLE, abs=0.1)
    assert list(nodule.levels) == [1, 2, 3]
    assert nodule.outline(3).sum() == nodule.outline(2).sum() < nodule.outline(1).sum()


@pytest.mark.parametrize(
    ("others", "reason", "remedy"),
    [
        ((), "no scan whose name begins with A lies beside it", "into a folder A"),
        (("A.tar.xz",), "still packed in A.tar.xz", "into a folder A"),
        (("A.nii.gz", "A.nrrd"), "A.nii.gz and A.nrrd could both be", "Leave one"),
    ],
)
def test_marks_without_a_scan_say_what_to_do(tmp_path, others, reason, remedy) -> None:
    for name in ("A_nodule_readers.nii.gz", *others):
        (tmp_path / name).touch()
    with pytest.raises(CaseTableError, match=f"{re.escape(reason)}.*{remedy}"):
        find_nodules([tmp_path])


@pytest.mark.parametrize("first", [0, 1])
def test_marks_of_another_scan_are_refused(tmp_path, first: int) -> None:
    """Whether it has other slices, or as many and lies a slice further down."""
    write_scan(tmp_path, "A")
    ct, _ = made_scan()
    elsewhere = Volume(ct.voxels[first:], translation((2.0, 0, 0)) @ ct.affine, "moved")
    write_volume(tmp_path / "A_ct.nii.gz", elsewhere.voxels, elsewhere.grid, overwrite=True)
    with pytest.raises(CaseTableError, match="another grid"):
        next(find_nodules([tmp_path]).read_scans())


def test_a_folder_without_nodules_is_refused(tmp_path) -> None:
    np.savez(tmp_path / "other.npz", ct=np.zeros(3))
    with pytest.raises(CaseTableError, match="neither marks"):
        find_nodules([tmp_path])
    with pytest.raises(CaseTableError, match="no such folder"):
        find_nodules([tmp_path / "absent"])


@pytest.mark.parametrize("packed", [True, False])
def test_crops_are_grey_values_on_a_millimetre_grid(tmp_path, packed: bool) -> None:
    seg = write_crops(tmp_path, packed=packed)
    found = find_nodules([tmp_path])
    assert found.n_crops == 4
    crops = list(found.read_crops())
    assert [np.array_equal(crop.readers, mask) for crop, mask in zip(crops, seg, strict=True)] == [
        True
    ] * 4
    # 200 of 255 between -1000 and 400 HU
    assert crops[0].ct.voxels[20, 20, 20] == pytest.approx(-1000 + 1400 * 200 / 255, abs=0.01)
    assert crops[0].centre_mm == (19.5, 19.5, 19.5)


def test_a_choice_of_crops_depends_on_the_seed_alone(tmp_path) -> None:
    write_crops(tmp_path, packed=True, n=12)
    found = find_nodules([tmp_path])
    chosen = [[crop.name for crop in found.read_crops(5, seed)] for seed in (0, 0, 1)]
    assert len(chosen[0]) == 5
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(list(found.read_crops(99))) == 12


@pytest.mark.parametrize(
    ("voxel", "seg", "reason"),
    [
        (np.zeros((2, 4, 4), np.uint8), np.zeros((2, 2), np.uint8), "are not crops"),
        (np.zeros((2, 4, 4, 4), np.uint8), np.zeros((3, 8), np.uint8), "are not crops"),
        (np.zeros((2, 4, 4, 4), np.uint8), np.zeros((2, 7), np.uint8), "are not crops"),
    ],
)
def test_malformed_crops_are_refused(tmp_path, voxel, seg, reason) -> None:
    np.savez(tmp_path / "crops.npz", voxel=voxel, seg=seg)
    with pytest.raises(CaseTableError, match=reason):
        find_nodules([tmp_path])
    (tmp_path / "crops.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(CaseTableError, match="cannot be read"):
        find_nodules([tmp_path])


def test_shares_agree_with_counting_voxels(weights) -> None:
    """Cells are boxes of whole voxels here, so that a plain loop over voxels is exact."""
    nodule = made_nodule()
    classifier = at_layers(nodule_classifier(weights), ("block4",))["block4"]
    found = look(nodule, classifier, "nodule", MIDDLE)
    grid = found.explanation.map("nodule").grid
    assert grid.shape == (2, 3, 3)
    values = np.maximum(found.explanation.maps["hirescam"][1], 0).astype(float)
    # 4 points for each of the 16 voxels of a cell along each axis, none of them on a border
    seen = []
    for axis, cells in enumerate(grid.shape):
        points = np.zeros((cells * 64, 3))
        points[:, axis] = (np.arange(cells * 64) + 0.5) / 64 - 0.5
        seen.append(np.rint(nodule.ct.grid.to_index(grid.to_world(points))[:, axis]).astype(int))
    marked = nodule.outline(1)[np.ix_(*seen)]
    fraction = marked.reshape(2, 64, 3, 64, 3, 64).mean((1, 3, 5))
    row = next(r for r in found.rows if r.method == "hirescam" and r.readers == 1)
    assert row.share == pytest.approx((values * fraction).sum() / values.sum())
    assert row.chance == pytest.approx(fraction.mean())
    assert row.share == row.moved_share
    assert abs(row.residual) < 1e-4
    peak = np.unravel_index(values.argmax(), values.shape)
    assert row.hit == float(fraction[peak] > 0)


def test_the_moved_outline_lies_in_the_middle_of_the_window(weights) -> None:
    """In a window beside the nodule it is where a nodule in the middle of it would be."""
    nodule = made_nodule()
    classifier = nodule_classifier(weights)
    # By whole cells, so that both outlines are cut alike.
    there = (MIDDLE[0] - 4, MIDDLE[1] + 6, MIDDLE[2] + 8)
    moved = translation(np.subtract(there, MIDDLE)) @ nodule.ct.affine
    row = look(nodule, classifier, "nodule", there, shift=1).rows[0]
    marks = np.zeros_like(nodule.readers)
    index = nodule.ct.grid.to_index(np.argwhere(nodule.outline(1)) @ moved[:3, :3].T + moved[:3, 3])
    marks[tuple(np.rint(index).astype(int).T)] = 1
    same_ct_marked_there = Nodule("moved", "scan", nodule.ct, marks, there)
    in_the_middle = look(same_ct_marked_there, classifier, "nodule", there).rows[0]
    assert row.moved_share == pytest.approx(in_the_middle.share)
    assert row.moved_share != pytest.approx(row.share, rel=0.01)


def test_windows_beside_a_nodule_keep_it_inside() -> None:
    nodule = made_nodule()
    points = windows_beside(nodule, (64, 48, 48), 200, np.random.default_rng(0))
    away = np.abs(np.array(points) - MIDDLE)
    assert (away <= np.array((16, 12, 12))).all()
    assert (away.max(0) > np.array((14, 10, 10))).all()
    corners = nodule.ct.grid.corners_mm()
    far = windows_beside(nodule, (999, 999, 999), 50, np.random.default_rng(0))
    assert (np.array(far) >= corners.min(0)).all()
    assert (np.array(far) <= corners.max(0)).all()


def test_others_maps_by_a_plain_loop() -> None:
    rng = np.random.default_rng(2)
    maps, insides = rng.normal(size=(5, 7)), rng.uniform(size=(5, 7))
    maps[3] = -1  # speaks for nothing anywhere
    expected = []
    for i in range(5):
        shares = []
        for j in range(5):
            positive = np.maximum(maps[j], 0)
            if j != i and positive.sum() > 0:
                shares.append((positive * insides[i]).sum() / positive.sum())
        expected.append(np.mean(shares))
    assert share_of_others_maps(maps, insides) == pytest.approx(np.array(expected))
    assert np.isnan(share_of_others_maps(maps[:1], insides[:1])).all()


def test_the_label_is_found_or_asked_for(weights) -> None:
    classifier = nodule_classifier(weights)
    assert nodule_label(classifier, None) == "nodule"
    assert nodule_label(classifier, "no nodule") == "no nodule"
    with pytest.raises(InputError, match="no label 'mass'"):
        nodule_label(classifier, "mass")
    with pytest.raises(InputError, match="block9"):
        at_layers(classifier, ("block9",))


def test_the_command_leaves_a_report_its_figures_and_pictures(tmp_path, weights) -> None:
    write_scan(tmp_path / "data", "A")
    write_crops(tmp_path / "data", packed=True)
    arguments = ["reproduce", "luna", "--model", str(weights), "--data", str(tmp_path / "data")]
    arguments += ["--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "out/figures.json").read_text())
    rows = figures["rows"]
    # 1 scan with 3 levels and 2 crops with 1; 2 layers, 2 methods, 2 windows
    assert len(rows) == (3 + 2) * 2 * 2 * 2
    assert figures["left_out"] == [
        "crops 2: the crop's border cuts its outline",
        "crops 3: its mask is empty",
    ]
    assert figures["guarantees"]["block4"].startswith("exact")
    assert figures["guarantees"]["block3"].startswith("local")
    page = (tmp_path / "out/report.html").read_text()
    assert "Windows beside the nodule" in page
    assert sorted(p.name for p in (tmp_path / "out/pictures").iterdir()) == [
        "A.png", "crops_0.png", "crops_1.png",
    ]  # fmt: skip
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    assert "--overwrite" in again.output
    more = ["--overwrite", "--seed", "7", "--layer", "block4"]
    other_seed = CliRunner().invoke(app, [*arguments, *more])
    assert other_seed.exit_code == 0
    new = json.loads((tmp_path / "out/figures.json").read_text())["rows"]
    first = [row for row in rows if row["layer"] == "block4"]
    for shift, same in ((0, True), (1, False)):
        these, those = ([row for row in part if row["shift"] == shift] for part in (first, new))
        assert len(these) == len(those)
        assert (these == those) is same


def test_the_command_names_what_is_missing(tmp_path, weights) -> None:
    arguments = ["reproduce", "luna", "--model", str(weights), "--data", str(tmp_path / "absent")]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "there is no such folder" in done.output
    assert not (tmp_path / "out").exists()


def test_a_real_network_on_a_real_nodule(shared_dir, luna_weights, tmp_path) -> None:
    """At block4 the cells are too coarse; at block3 HiResCAM finds the outline, unguaranteed."""
    name = "LIDC-IDRI-0001"
    data = shared_dir / "data/lidc"
    unpack(data / f"{name}_partial_dicom.tar.xz", tmp_path / name)
    marks = tmp_path / f"{name}_nodule_readers.nii.gz"
    marks.write_bytes((data / marks.name).read_bytes())
    classifiers = at_layers(nodule_classifier(luna_weights, device="cpu"), ("block4", "block3"))
    findings = look_at_nodules(find_nodules([tmp_path]), classifiers, "nodule", shifts=0)
    ratio = {(row.layer, row.method, row.readers): row.share / row.chance for row in findings.rows}
    assert {row.readers for row in findings.rows} == {1, 2, 3, 4}
    assert min(row.probability for row in findings.rows) > 0.999
    for readers in (1, 2, 3, 4):
        assert 0.9 < ratio["block4", "hirescam", readers] < 1.1
        assert np.isnan(ratio["block4", "gradcam", readers])  # no cell speaks for it
        assert 3 < ratio["block3", "hirescam", readers] < 3.3
        assert ratio["block3", "gradcam", readers] < 0.1
    residuals = [row.residual for row in findings.rows if np.isfinite(row.residual)]
    assert len(residuals) == 4
    assert max(map(abs, residuals)) < 1e-4


def test_real_crops_lie_above_chance_and_so_do_other_nodules_maps(shared_dir, luna_weights) -> None:
    """HiResCAM at block3 lies well above chance, and no higher than other nodules' maps do."""
    files = find_nodules([shared_dir / "data/m3dv_nodules"])
    assert files.n_crops == 465
    classifiers = at_layers(nodule_classifier(luna_weights, device="cpu"), ("block3",))
    findings = look_at_nodules(files, classifiers, "nodule", at_most_crops=12, shifts=1)
    summary = next(s for s in centred_crops(findings, 0) if s.method == "hirescam")
    assert summary.share.value > 3 * summary.chance
    assert summary.control > 2 * summary.chance
    assert {s.among for s in beside_summaries(findings, 0)} >= {"all"}
