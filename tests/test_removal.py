"""Removing what a map points at: the score must fall by what the map says, and beside chance."""

from __future__ import annotations

import numpy as np
import pytest
import test_real_nodule
import torch
from model_folders import make_luna_folder
from networks import (
    ConvThenLinear,
    GlobalPoolThenLinear,
    SumOfVoxels,
    classifier_of,
    plain_input,
    random_ct,
)
from test_axialnet import small_axialnet
from torch import nn

from napari_hirescam.attention import attention_maps, explain
from napari_hirescam.errors import AttributionError, Cancelled, InputError
from napari_hirescam.evaluation.explanation_tests import occlusion_test, removal_test
from napari_hirescam.evaluation.map_under_test import to_network_axes
from napari_hirescam.evaluation.occlusion import blank_out, occlusion
from napari_hirescam.evaluation.removal import RemovalCurves, deletion_insertion
from napari_hirescam.evaluation.removal_curves import cells_with_half
from napari_hirescam.models import Classifier, load_model
from napari_hirescam.models.spec import OutputSpec
from napari_hirescam.volume import Volume

scan, readers = test_real_nodule.scan, test_real_nodule.readers


def curves_of(
    network: nn.Module, layer: str, given: torch.Tensor, k: int = 0, **more: object
) -> tuple[RemovalCurves, np.ndarray]:
    """Remove the cells of a network's own HiResCAM map; returns the map too."""
    where = {key: more[key] for key in ("output",) if key in more}
    cells = attention_maps(network, given, layer, methods=("hirescam",), **where).maps["hirescam"]
    return deletion_insertion(network, given, layer, k, cells[k], **more), cells[k]


def whole_ct(network: nn.Module, layer: str, n_labels: int = 3, **more: object) -> Classifier:
    return classifier_of(network, layer, plain_input((6, 8, 10), **more), n_labels)


class MlpHead(nn.Module):
    """A head with a ReLU in it: no map can be its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 4, 3, padding=1)
        self.act = nn.ReLU()
        self.hidden = nn.Linear(4 * 4 * 4 * 4, 8)
        self.fc = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.avg_pool3d(self.act(self.conv(x)), 2)
        return self.fc(torch.relu(self.hidden(x.flatten(1))))


class AsksForNumbers(ConvThenLinear):
    """Reads a number out of its tensors on the way, so that its head cannot be replayed."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        x = self.pool(self.act2(self.conv2(self.act1(self.norm(self.conv1(x))))))
        return self.fc(x.flatten(1)) + x[0, 0, 0, 0, 0].item() * 0


class SharedReLU(nn.Module):
    """One ReLU, called twice; its head cannot be replayed either."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv3d(1, 2, 3, padding=1), nn.Conv3d(2, 3, 3, padding=1)
        self.act = nn.ReLU()
        self.fc = nn.Linear(3 * 64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.conv2(self.act(self.conv1(x))))
        return self.fc(x.flatten(1)) + x.flatten()[0].item() * 0


class SliceNetwork(nn.Module):
    """A 2-D network that takes slices as a batch, with its logits in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.fc = nn.Linear(3 * 36, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"features": x, "logits": self.fc(torch.relu(self.conv(x)).flatten(1))}


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    torch.manual_seed(3)


# -- what is known by hand -----------------------------------------------------------------


def test_of_a_sum_of_voxels_each_cell_takes_its_own_voxel() -> None:
    given = torch.tensor([[[[[5.0, -2.0], [3.0, 1.0]]]]])
    curves, _ = curves_of(SumOfVoxels(), "see", given)
    assert curves.counts.tolist() == [0, 1, 2, 3, 4]
    # 7 in all; the order of removal is 5, 3, 1, -2.
    assert curves.deletion.logits.tolist() == [7, 2, -1, -2, 0]
    assert curves.insertion.logits.tolist() == [0, 5, 8, 9, 7]
    assert curves.sums.tolist() == [0, 5, 8, 9, 7]
    assert curves.n_half == 1  # 5 is more than half of 5 + 3 + 1
    assert curves.largest_departure == 0
    assert curves.adds_up


def test_probabilities_are_those_of_the_model(given_volume: torch.Tensor) -> None:
    network = ConvThenLinear(n_labels=3)
    curves, _ = curves_of(network, "pool", given_volume, 1, activation="softmax")
    with torch.no_grad():
        expected = torch.softmax(network.eval()(given_volume), 1)[0, 1]
    assert curves.deletion.probabilities[0] == pytest.approx(float(expected), rel=1e-5)
    assert curves.insertion.probabilities[-1] == pytest.approx(float(expected), rel=1e-5)


@pytest.fixture
def given_volume() -> torch.Tensor:
    return torch.randn(1, 1, 6, 8, 10)


def test_before_a_linear_layer_the_deletion_is_the_logit_less_the_running_sum(given_volume) -> None:
    network = ConvThenLinear().double()
    curves, cells = curves_of(network, "pool", given_volume.double(), 2)
    running = np.concatenate([[0], np.cumsum(np.sort(cells.ravel().astype(np.float64))[::-1])])
    expected = curves.deletion.logits[0] - running[curves.counts]
    assert np.allclose(curves.deletion.logits, expected, rtol=0, atol=1e-6)
    assert curves.deletion.logits[-1] == pytest.approx(network.fc.bias[2].item(), abs=1e-9)
    assert curves.adds_up


@pytest.mark.parametrize("network", [GlobalPoolThenLinear(), ConvThenLinear(inplace=False)])
def test_whatever_is_removed_an_exact_map_says_how_much(network, given_volume) -> None:
    layer = "act" if isinstance(network, GlobalPoolThenLinear) else "act2"
    curves, _ = curves_of(network, layer, given_volume, 1)
    assert curves.adds_up
    assert curves.largest_departure < 1e-5
    assert curves.largest_change > 1e-2
    assert curves.random_deletion.logits.shape == (10, len(curves.counts))


def test_behind_a_second_linear_layer_the_departure_is_shown() -> None:
    curves, _ = curves_of(MlpHead(), "act", torch.randn(1, 1, 8, 8, 8))
    assert not curves.adds_up
    assert curves.largest_departure > 1e-3


def test_slices_on_the_batch_axis_are_cells_too() -> None:
    network = small_axialnet()
    given = torch.randn(1, 3, 3, 120, 120)
    layer = network.default_target_layer
    curves, cells = curves_of(network, layer, given)
    assert curves.n_cells == cells.size
    assert curves.n_cells > 3
    assert curves.replayed
    assert curves.adds_up


def test_a_network_over_slices_with_its_logits_in_a_dict() -> None:
    output = OutputSpec(entry="logits", over_slices="mean")
    network, given = SliceNetwork(), torch.randn(5, 1, 6, 6)
    curves, cells = curves_of(network, "conv", given, 1, output=output)
    assert cells.shape == (5, 6, 6)
    with torch.no_grad():
        expected = network(given)["logits"].mean(0)[1].item()
    assert curves.deletion.logits[0] == pytest.approx(expected, abs=1e-6)
    assert curves.insertion.logits[-1] == pytest.approx(expected, abs=1e-6)


def test_the_input_itself_can_be_the_layer() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    curves, _ = curves_of(network, "input", torch.randn(1, 1, 4, 4, 4))
    assert curves.adds_up
    assert curves.deletion.logits[-1] == pytest.approx(network[1].bias[0].item(), abs=1e-6)


# -- chance --------------------------------------------------------------------------------


def test_the_order_of_the_map_beats_chance_and_its_reverse_does_not(given_volume) -> None:
    network = ConvThenLinear()
    curves, cells = curves_of(network, "pool", given_volume)
    assert curves.area("deletion") > 0
    assert curves.area("insertion") > 0
    assert curves.area("deletion", "probability") > 0
    reverse = deletion_insertion(network, given_volume, "pool", 0, -cells)
    assert reverse.area("deletion") < 0
    assert reverse.area("insertion") < 0


def test_random_orders_are_those_of_the_seed(given_volume) -> None:
    network = ConvThenLinear()
    a, _ = curves_of(network, "pool", given_volume, seed=4)
    b, _ = curves_of(network, "pool", given_volume, seed=4)
    c, _ = curves_of(network, "pool", given_volume, seed=5)
    assert np.array_equal(a.random_deletion.logits, b.random_deletion.logits)
    assert not np.array_equal(a.random_deletion.logits, c.random_deletion.logits)


def test_random_cells_put_back_are_random_cells_not_removed(given_volume) -> None:
    curves, _ = curves_of(ConvThenLinear(), "pool", given_volume)
    assert (curves.counts + curves.counts[::-1] == curves.n_cells).all()
    assert np.allclose(curves.random_insertion.logits[:, 0], curves.insertion.logits[0])
    assert np.allclose(curves.random_insertion.logits[:, -1], curves.deletion.logits[0])


def test_half_of_the_positive_attention() -> None:
    assert cells_with_half(np.array([4.0, 3.0, 2.0, 1.0, -9.0])) == 2
    assert cells_with_half(np.array([1.0, 1.0])) == 1
    assert cells_with_half(np.array([-1.0, 0.0])) == 0


# -- heads that cannot be carried out by themselves ------------------------------------------


def test_a_head_that_cannot_be_replayed_is_run_with_the_whole_network(given_volume) -> None:
    network = AsksForNumbers()
    cells = attention_maps(network, given_volume, "pool", methods=("hirescam",)).maps["hirescam"]
    curves = deletion_insertion(network, given_volume, "pool", 1, cells[1])
    assert not curves.replayed
    assert curves.adds_up
    assert curves.deletion.logits[-1] == pytest.approx(network.fc.bias[1].item(), abs=1e-6)


def test_of_a_layer_called_twice_the_last_call_is_changed() -> None:
    network = SharedReLU()
    curves, _ = curves_of(network, "act", torch.randn(1, 1, 4, 4, 4))
    assert not curves.replayed
    assert curves.adds_up
    assert curves.deletion.logits[-1] == pytest.approx(network.fc.bias[0].item(), abs=1e-6)


# -- manners -----------------------------------------------------------------------------------


def test_the_network_is_left_as_it_was(given_volume) -> None:
    network = AsksForNumbers().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    curves_of(network, "pool", given_volume)
    assert network.training
    assert network.norm.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("network", [ConvThenLinear(), AsksForNumbers()])
def test_a_stop_is_heard_between_two_points(network, given_volume) -> None:
    cells = attention_maps(network, given_volume, "pool").maps["hirescam"][0]
    told: list[int] = []
    with pytest.raises(Cancelled):
        deletion_insertion(
            network, given_volume, "pool", 0, cells,
            progress=lambda done, _total: told.append(done),
            should_stop=lambda: bool(told) and told[-1] > 300,
        )  # fmt: skip
    assert told[-1] < 1000
    assert not any(module._forward_hooks for module in network.modules())


def test_progress_grows_to_its_end(given_volume) -> None:
    told: list[tuple[int, int]] = []
    curves_of(ConvThenLinear(), "pool", given_volume, progress=lambda *step: told.append(step))
    done = [step[0] for step in told]
    assert done == sorted(done)
    assert told[-1] == (1000, 1000)


def test_a_map_of_another_layer_is_refused(given_volume) -> None:
    with pytest.raises(ValueError, match=r"\(2, 2, 2\) cells and the output of pool \(3, 4, 5\)"):
        deletion_insertion(ConvThenLinear(), given_volume, "pool", 0, np.ones((2, 2, 2)))


def test_a_map_with_nan_is_refused(given_volume) -> None:
    with pytest.raises(ValueError, match="not numbers"):
        deletion_insertion(ConvThenLinear(), given_volume, "pool", 0, np.full((3, 4, 5), np.nan))


# -- from the CT -------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", ["IPL", "SPL", "LAI", "RSP"])
def test_the_map_removed_is_the_one_explained_on_whatever_axes(orientation) -> None:
    volume = random_ct((6, 8, 10))
    shape = {"IPL": (6, 8, 10), "SPL": (6, 8, 10), "LAI": (10, 8, 6), "RSP": (10, 6, 8)}
    network = ConvThenLinear(shape[orientation])
    spec = plain_input(shape[orientation], orientation=orientation)
    classifier = classifier_of(network, "pool", spec, 3)
    explanation = explain(volume, classifier)
    finding = removal_test(volume, classifier, "label 1", explanation=explanation)
    assert finding.curves.adds_up
    assert finding.curves.deletion.logits[0] == pytest.approx(explanation.logits[1], rel=1e-5)
    on_axes = attention_maps(network, classifier.prepare(volume).tensor, "pool")
    turned = to_network_axes(explanation.maps["hirescam"][1], classifier.prepare(volume).affine)
    assert np.allclose(turned, on_axes.maps["hirescam"][1])


def test_without_an_explanation_the_ct_is_explained_first() -> None:
    volume, classifier = random_ct((6, 8, 10)), whole_ct(ConvThenLinear(), "pool")
    told: list[tuple[int, int]] = []
    finding = removal_test(
        volume, classifier, "label 0", "gradcam", progress=lambda *step: told.append(step)
    )
    assert finding.subject.title == "label 0, Grad-CAM at pool"
    assert [d / t for d, t in told] == sorted(d / t for d, t in told)


def test_the_sentence_gives_both_numbers() -> None:
    volume, classifier = random_ct((6, 8, 10)), whole_ct(ConvThenLinear(), "pool")
    finding = removal_test(volume, classifier, "label 0")
    curves = finding.curves
    falls = curves.deletion.logits[0] - curves.deletion.logits[curves.at(curves.n_half)]
    headline, verdict, *_ = finding.sentences()
    assert f"{curves.n_half} strongest cells of 60 takes {falls:.2f} from the logit" in headline
    assert f"the map says {falls:.2f}." in headline
    assert "the map is exact" in verdict


def test_what_is_not_promised_is_said_to_depart_and_why() -> None:
    volume = random_ct((8, 8, 8))
    classifier = classifier_of(MlpHead(), "act", plain_input((8, 8, 8)), 2)
    verdict = removal_test(volume, classifier, "label 1").sentences()[1]
    assert "departs from the sum of the map by up to" in verdict
    assert "ReLU" in verdict
    grad = removal_test(
        random_ct((6, 8, 10)), whole_ct(ConvThenLinear(), "pool"), "label 1", "gradcam"
    )
    assert "Grad-CAM map are not shares of the logit" in " ".join(grad.sentences())


def test_a_map_that_breaks_its_promise_is_not_to_be_trusted() -> None:
    volume, classifier = random_ct((6, 8, 10)), whole_ct(ConvThenLinear(), "pool")
    explanation = explain(volume, classifier)
    explanation.maps["hirescam"][0] *= 2
    finding = removal_test(volume, classifier, "label 0", explanation=explanation)
    assert "do not trust this map" in finding.sentences()[1]


def test_a_map_without_a_positive_cell_is_named() -> None:
    volume, classifier = random_ct((6, 8, 10)), whole_ct(ConvThenLinear(), "pool")
    explanation = explain(volume, classifier)
    np.minimum(explanation.maps["hirescam"], 0, out=explanation.maps["hirescam"])
    finding = removal_test(volume, classifier, "label 0", explanation=explanation)
    assert "No cell of the map speaks for the label." in finding.sentences()


def test_an_explanation_of_another_ct_window_or_model_is_refused() -> None:
    volume, classifier = random_ct((6, 8, 10)), whole_ct(ConvThenLinear(), "pool")
    explanation = explain(volume, classifier)
    shifted = volume.affine.copy()
    shifted[0, 3] += 40
    with pytest.raises(InputError, match="another CT, or of another window"):
        removal_test(Volume(volume.voxels, shifted), classifier, "label 0", explanation=explanation)
    with pytest.raises(InputError, match="another model or another target layer"):
        removal_test(volume, whole_ct(ConvThenLinear(), "act2"), "label 0", explanation=explanation)
    with pytest.raises(InputError, match="when it was explained"):
        removal_test(random_ct((6, 8, 10), seed=9), classifier, "label 0", explanation=explanation)


def test_a_map_in_mixed_precision_is_made_anew_rather_than_accused() -> None:
    volume, classifier = random_ct((6, 8, 10)), whole_ct(ConvThenLinear(), "pool")
    coarse = explain(volume, classifier, mixed_precision=True)
    finding = removal_test(volume, classifier, "label 0", explanation=coarse)
    assert finding.curves.adds_up
    assert finding.subject.provenance["mixed_precision"] is False


def test_unknown_labels_and_methods_are_named() -> None:
    volume, classifier = random_ct((6, 8, 10)), whole_ct(ConvThenLinear(), "pool")
    with pytest.raises(InputError, match="label 0, label 1, label 2"):
        removal_test(volume, classifier, "mass")
    with pytest.raises(InputError, match="hirescam, gradcam"):
        removal_test(volume, classifier, "label 0", "magic")


def test_a_network_that_fails_while_tested_is_one_sentence_and_no_runtime_error() -> None:
    volume, network = random_ct((6, 8, 10)), ConvThenLinear()
    classifier = whole_ct(network, "pool")
    explanation = explain(volume, classifier)
    network.fc = nn.Linear(7, 3)
    with pytest.raises(AttributionError, match="cannot be tested"):
        removal_test(volume, classifier, "label 0", explanation=explanation)


# -- blanking out the CT -----------------------------------------------------------------------


def bright_block() -> Volume:
    """Make a CT of air with one bright block of 2 x 2 x 2 voxels."""
    voxels = np.full((6, 8, 10), -1000, np.int16)
    voxels[2:4, 4:6, 6:8] = 500
    return Volume(voxels, np.diag([3.0, 1.0, 1.0, 1.0]), "block")


class MeanOfBlocks(nn.Module):
    """The logit is the sum of the means of blocks of 2 x 2 x 2 voxels, in thousands of HU."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool3d(2)
        self.see = nn.Conv3d(1, 1, 1, bias=False)
        nn.init.constant_(self.see.weight, 1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.see(self.pool(x)).flatten(1).sum(1, keepdim=True)


def test_blanking_a_cell_out_changes_its_own_voxels_only() -> None:
    voxels = np.full((6, 8, 10), 100, np.int16)
    voxels[2:4, 4:6, 6:8] = 500
    voxels[0, 0, 0] = -1000
    volume = Volume(voxels, np.diag([3.0, 1.0, 1.0, 1.0]), "block")
    classifier = classifier_of(MeanOfBlocks(), "see", plain_input((6, 8, 10)), 1)
    curves = occlusion_test(volume, classifier, "label 0", fill="lowest", steps=3).curves
    assert (curves.n_cells, curves.n_inside) == (60, 60)
    assert curves.box_mm == (6, 2, 2)
    assert curves.counts[:2].tolist() == [0, 1]
    assert curves.counts[-1] == curves.n_half == 28  # 0.5 + 27 * 0.1 of 0.5 + 58 * 0.1
    # The bright block goes from 0.5 to -1, each of the others from 0.1 to -1.
    falls = curves.strongest.logits[0] - curves.strongest.logits
    assert falls[1:] == pytest.approx(1.5 + 1.1 * (curves.counts[1:] - 1), abs=1e-4)
    assert curves.mean_gap() > 0


@pytest.mark.parametrize("orientation", ["IPL", "SAR", "LPI"])
def test_the_box_lies_where_the_cell_lies_on_whatever_axes(orientation) -> None:
    shape = (10, 8, 6) if orientation == "LPI" else (6, 8, 10)
    classifier = classifier_of(
        MeanOfBlocks(), "see", plain_input(shape, orientation=orientation), 1
    )
    curves = occlusion_test(bright_block(), classifier, "label 0", fill="lowest").curves
    falls = curves.strongest.logits[0] - curves.strongest.logits[1]
    assert falls == pytest.approx(1.5, abs=1e-5)


def test_a_box_is_filled_with_its_own_mean() -> None:
    classifier = classifier_of(MeanOfBlocks(), "see", plain_input((6, 8, 10)), 1)
    given = classifier.prepare(random_ct((6, 8, 10)))
    box = (slice(1, 3), slice(0, 4), slice(5, 6))
    changed = blank_out(given, [box], "mean")
    part = given.tensor[(0, 0, *box)]
    assert torch.allclose(changed[(0, 0, *box)], part.mean().expand_as(part))
    changed[(0, 0, *box)] = part
    assert torch.equal(changed, given.tensor)


def test_images_of_three_slices_are_blanked_slice_by_slice() -> None:
    spec = plain_input((6, 8, 10), layout="axial_triples")
    classifier = classifier_of(ConvThenLinear(), "pool", spec, 3)
    given = classifier.prepare(random_ct((6, 8, 10)))
    changed = blank_out(given, [(slice(4, 5), slice(0, 8), slice(0, 10))], "lowest")
    same = (changed == given.tensor).flatten(3).all(dim=3)[0]
    assert same.tolist() == [[True, True, True], [True, False, True]]
    assert (changed[0, 1, 1] == given.tensor.min()).all()


def test_cells_in_the_padding_are_never_chosen() -> None:
    volume = bright_block()
    spec = plain_input((14, 8, 10), padding=400)
    classifier = classifier_of(MeanOfBlocks(), "see", spec, 1)
    finding = occlusion_test(volume, classifier, "label 0")
    # Four slices of padding on either side are two layers of cells each, of seven.
    assert finding.curves.n_cells == 140
    assert finding.curves.n_inside == 60
    # 80 cells of 0.4 in the padding, one of 0.5 in the CT.
    assert finding.curves.share_outside == pytest.approx(32 / 32.5)
    assert finding.curves.n_half == 1
    assert finding.sentences()[-1].startswith("80 of 140 cells lie outside the CT")


def test_the_explained_input_is_not_touched_and_a_stop_is_heard() -> None:
    volume, classifier = (
        bright_block(),
        classifier_of(MeanOfBlocks(), "see", plain_input((6, 8, 10)), 1),
    )
    given = classifier.prepare(volume)
    before = given.tensor.clone()
    attention = explain(volume, classifier).map("label 0")
    occlusion(classifier, given, attention, volume.grid)
    assert torch.equal(given.tensor, before)
    told: list[int] = []
    with pytest.raises(Cancelled):
        occlusion(
            classifier, given, attention, volume.grid,
            progress=lambda done, _total: told.append(done), should_stop=lambda: len(told) == 3,
        )  # fmt: skip
    assert told == [1, 2, 3]


# -- a network really trained on chest CT ------------------------------------------------------


def test_of_the_nodule_network_each_cell_takes_what_the_map_says(
    scan, readers, tmp_path, luna_weights
) -> None:
    folder = make_luna_folder(tmp_path / "luna", luna_weights)
    classifier = load_model(folder, trust=lambda _request: True)
    explanation = explain(scan, classifier, at_mm=test_real_nodule.centre_of(readers))
    finding = removal_test(scan, classifier, "nodule", explanation=explanation)
    curves = finding.curves
    assert curves.n_cells == 18
    assert curves.largest_departure < 1e-4
    assert curves.largest_change > 10
    assert min(curves.area("deletion"), curves.area("insertion")) > 5
    grad = removal_test(scan, classifier, "nodule", "gradcam", explanation=explanation).curves
    assert grad.largest_departure > 1
    assert grad.area("deletion") < curves.area("deletion")
