"""One plane of the patient drawn by Qt: where things lie in it, and what a mouse does there."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QImage, QWheelEvent

from napari_hirescam.plugin.linked_windows import LinkedWindows
from napari_hirescam.plugin.patient_layers import PatientLayers
from napari_hirescam.plugin.reviewing.layer_pictures import picture_of
from napari_hirescam.plugin.reviewing.mask_outline import outline_segments
from napari_hirescam.plugin.reviewing.other_planes import OtherPlanes
from napari_hirescam.plugin.reviewing.planes import PLANES
from napari_hirescam.plugin.reviewing.review_layers import review_metadata
from napari_hirescam.volume import Grid

AXIAL, CORONAL, SAGITTAL = range(3)
# Thick slices, and a place that no index could be taken for.
SPACING, ORIGIN, SHAPE = (5.0, 2.0, 1.0), (-310.0, -90.0, 40.0), (8, 20, 40)
#: Index of the one bright voxel, and its (I, P, L) mm.
VOXEL, PLACE = (2, 15, 33), (-300.0, -60.0, 73.0)
LEFT = Qt.MouseButton.LeftButton
NO_KEYS = Qt.KeyboardModifier.NoModifier
CTRL = Qt.KeyboardModifier.ControlModifier
RED, YELLOW = (255, 0, 0), (255, 255, 0)


def grid() -> Grid:
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = ORIGIN
    return Grid(SHAPE, affine)


def ct_layer(voxels: np.ndarray | None = None) -> Image:
    if voxels is None:
        voxels = np.full(SHAPE, -1000, np.int16)
        voxels[VOXEL] = 1000
    return Image(
        voxels,
        scale=SPACING,
        translate=ORIGIN,
        contrast_limits=(-1000, 1000),
        metadata=review_metadata("volume", quantity="HU"),
    )


def mask_layer(mask: np.ndarray, *, contour: int = 1, **options) -> Labels:
    colours = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0), 1: (1, 1, 0, 1)}
    layer = Labels(
        mask.astype(np.uint8),
        scale=SPACING,
        translate=ORIGIN,
        opacity=1.0,
        colormap=DirectLabelColormap(color_dict=colours),
        metadata=review_metadata("volume"),
        **options,
    )
    layer.contour = contour
    return layer


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def docked(viewer, qtbot) -> OtherPlanes:
    """The planes as they are docked."""
    viewer.add_layer(ct_layer())
    planes = planes_of(viewer)
    qtbot.addWidget(planes)
    planes.show_grid(grid())
    planes.go_to(PLACE)
    return planes


@pytest.fixture
def planes(docked, qtbot) -> OtherPlanes:
    """All three planes, 400 x 300 pixels each."""
    for view in docked.views:
        view.setParent(None)  # no layout gives it another size
        qtbot.addWidget(view)
        view.resize(400, 300)
    return docked


def planes_of(viewer: ViewerModel) -> OtherPlanes:
    windows = LinkedWindows(viewer, PatientLayers(viewer))
    return OtherPlanes(viewer, windows, lambda layer: layer.visible)


def picture(view) -> np.ndarray:
    """What a plane looks like, [row, column, RGB]."""
    image = view.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def colour_at(view, place) -> tuple[int, int, int]:
    """The colour where a place is drawn."""
    drawn = picture(view)
    pixel = view.pixel_of(place)
    return tuple(int(x) for x in drawn[int(pixel.y()), int(pixel.x())])


def moved(place, **steps) -> tuple[float, float, float]:
    axes = {"inferior": 0, "posterior": 1, "left": 2}
    place = list(place)
    for name, mm in steps.items():
        place[axes[name]] += mm
    return tuple(place)


def click(qtbot, view, place, *, double: bool = False) -> None:
    pixel = view.pixel_of(place).toPoint()
    (qtbot.mouseDClick if double else qtbot.mouseClick)(view, LEFT, NO_KEYS, pixel)


def turn_wheel(view, clicks: int, *, keys=NO_KEYS, at: QPointF | None = None) -> None:
    at = at or QPointF(200, 150)
    event = QWheelEvent(
        at, at, QPoint(), QPoint(0, 120 * clicks), Qt.MouseButton.NoButton, keys,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    view.wheelEvent(event)


# -- the outline --------------------------------------------------------------------------


def test_the_outline_of_one_voxel_is_its_four_borders():
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True

    lines = {tuple(line) for line in outline_segments(mask)}

    assert lines == {
        (0.5, 1.5, 0.5, 2.5),
        (1.5, 1.5, 1.5, 2.5),
        (0.5, 1.5, 1.5, 1.5),
        (0.5, 2.5, 1.5, 2.5),
    }


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7)))
def test_the_outline_parts_every_voxel_of_the_mask_from_every_other(mask):
    lines = outline_segments(mask)
    drawn = set()
    for row, column, to_row, to_column in lines:
        for k in range(round(to_row - row)):
            drawn.add((row + k, column, "standing"))
        for k in range(round(to_column - column)):
            drawn.add((row, column + k, "lying"))

    framed = np.pad(mask, 1)
    expected = set()
    for row in range(framed.shape[0]):
        for column in range(framed.shape[1]):
            if row and framed[row, column] != framed[row - 1, column]:
                expected.add((row - 1.5, column - 1.5, "lying"))
            if column and framed[row, column] != framed[row, column - 1]:
                expected.add((row - 1.5, column - 1.5, "standing"))
    assert drawn == expected


def test_the_lines_of_a_box_are_joined_to_four():
    mask = np.zeros((9, 9), bool)
    mask[2:7, 1:8] = True

    assert len(outline_segments(mask)) == 4


# -- where things lie ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("normal", "letters"),
    [
        (AXIAL, ("R", "L", "A", "P")),
        (CORONAL, ("R", "L", "S", "I")),
        (SAGITTAL, ("A", "P", "S", "I")),
    ],
)
def test_planes_are_seen_as_radiologists_see_them(normal, letters):
    assert tuple(PLANES[normal].letters) == letters


@pytest.mark.parametrize("normal", [AXIAL, CORONAL, SAGITTAL])
def test_one_bright_voxel_appears_at_its_mm_in_every_plane(planes, normal):
    view = planes.views[normal]

    assert view.place_mm == PLACE
    assert min(colour_at(view, PLACE)) > 250
    beside = list(PLACE)  # in both directions, off the crosshair
    for axis in (PLANES[normal].down, PLANES[normal].right):
        beside[axis] -= 1.6 * SPACING[axis]
    assert max(colour_at(view, beside)) < 40


@pytest.mark.parametrize("normal", [AXIAL, CORONAL, SAGITTAL])
def test_the_bright_voxel_is_in_one_slice_only(planes, normal):
    planes.turn_over(normal, 1)

    assert max(colour_at(planes.views[normal], PLACE)) < 40


def test_the_patients_left_is_on_the_right_and_the_head_is_up(planes):
    coronal = planes.views[CORONAL]
    here = coronal.pixel_of(PLACE)

    assert coronal.pixel_of(moved(PLACE, left=10)).x() > here.x()
    assert coronal.pixel_of(moved(PLACE, inferior=10)).y() > here.y()


def test_mm_are_as_long_upwards_as_sideways(planes):
    coronal = planes.views[CORONAL]
    here = coronal.pixel_of(PLACE)

    right = coronal.pixel_of(moved(PLACE, left=5)).x() - here.x()
    down = coronal.pixel_of(moved(PLACE, inferior=5)).y() - here.y()
    assert right == pytest.approx(down)


@pytest.mark.parametrize("normal", [AXIAL, CORONAL, SAGITTAL])
def test_the_place_under_a_pixel_is_drawn_at_that_pixel(planes, normal):
    view = planes.views[normal]
    pixel = QPointF(123.0, 77.0)

    back = view.pixel_of(view.place_at(pixel))

    assert (back.x(), back.y()) == pytest.approx((123.0, 77.0))


# -- pointing -----------------------------------------------------------------------------


@pytest.mark.parametrize("normal", [AXIAL, CORONAL, SAGITTAL])
def test_a_click_moves_the_other_planes_there(planes, viewer, qtbot, normal):
    plane = PLANES[normal]
    target = list(PLACE)
    target[plane.down] -= 2 * SPACING[plane.down]
    target[plane.right] -= 7 * SPACING[plane.right]

    click(qtbot, planes.views[normal], target)

    assert viewer.dims.point == pytest.approx(target)
    for view in planes.views:
        assert view.place_mm == pytest.approx(target)


def test_a_drag_is_followed(planes, viewer, qtbot):
    axial = planes.views[AXIAL]
    target = moved(PLACE, posterior=-8, left=-12)

    qtbot.mousePress(axial, LEFT, NO_KEYS, axial.pixel_of(PLACE).toPoint())
    qtbot.mouseMove(axial, axial.pixel_of(target).toPoint())
    # Without a window manager the move above tells no buttons.
    axial.pointed.emit(axial.place_at(axial.pixel_of(target)))
    qtbot.mouseRelease(axial, LEFT)

    assert viewer.dims.point == pytest.approx(target)


def test_a_click_beside_the_ct_counts_as_its_border(planes, viewer):
    planes.go_to((-1000, 0, 1000))

    assert viewer.dims.point == pytest.approx((-310, -52, 79))


def test_the_crosshair_stands_on_voxels(planes, viewer):
    planes.go_to(moved(PLACE, inferior=2.4, posterior=-0.9, left=0.3))

    assert viewer.dims.point == pytest.approx(PLACE)


def test_the_wheel_turns_over_slices_downwards_to_the_feet(planes, viewer):
    turn_wheel(planes.views[AXIAL], -2)

    assert viewer.dims.point == pytest.approx(moved(PLACE, inferior=10))


def test_small_turns_of_a_touch_pad_add_up(planes, viewer):
    for _ in range(5):
        planes.views[CORONAL]._wheel += -30
        turn_wheel(planes.views[CORONAL], 0)

    assert viewer.dims.point == pytest.approx(moved(PLACE, posterior=2))


def test_ctrl_and_wheel_zoom_about_the_cursor(planes):
    coronal = planes.views[CORONAL]
    cursor = QPointF(260.0, 130.0)
    under = coronal.place_at(cursor)
    before = coronal.pixel_of(moved(PLACE, left=1)).x() - coronal.pixel_of(PLACE).x()

    turn_wheel(coronal, 6, keys=CTRL, at=cursor)

    after = coronal.pixel_of(moved(PLACE, left=1)).x() - coronal.pixel_of(PLACE).x()
    assert after > 3 * before
    assert coronal.place_at(cursor) == pytest.approx(under)


def test_a_zoomed_plane_follows_a_place_that_it_would_not_show(planes):
    coronal = planes.views[CORONAL]
    turn_wheel(coronal, 8, keys=CTRL, at=coronal.pixel_of(PLACE))

    planes.go_to(moved(PLACE, left=-30))

    pixel = coronal.pixel_of(moved(PLACE, left=-30))
    assert coronal.rect().contains(pixel.toPoint())


def test_ctrl_and_a_drag_set_the_grey_window(planes, viewer, qtbot):
    view = planes.views[CORONAL]

    qtbot.mousePress(view, LEFT, CTRL, QPoint(100, 100))
    view.window_dragged.emit(300, 0)
    qtbot.mouseRelease(view, LEFT, CTRL, QPoint(400, 100))

    low, high = viewer.layers[0].contrast_limits
    assert high - low == pytest.approx(4000)
    assert viewer.dims.point == pytest.approx(PLACE)


def test_a_double_click_takes_a_plane_onto_the_canvas(docked, viewer, qtbot):
    click(qtbot, docked.views[CORONAL], PLACE, double=True)

    assert viewer.dims.order == (1, 0, 2)
    assert [not view.isHidden() for view in docked.views] == [True, False, True]


def test_beside_a_3d_view_all_planes_are_shown(docked, viewer):
    assert [not view.isHidden() for view in docked.views] == [False, True, True]

    viewer.dims.ndisplay = 3

    assert [not view.isHidden() for view in docked.views] == [True, True, True]


# -- what is drawn ------------------------------------------------------------------------


@pytest.fixture
def box() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[1:5, 6:18, 10:36] = True
    return mask


@pytest.mark.parametrize("normal", [AXIAL, CORONAL, SAGITTAL])
def test_a_mask_is_outlined_where_it_ends(planes, viewer, box, normal):
    viewer.add_layer(mask_layer(box))
    view = planes.views[normal]
    plane = PLANES[normal]
    # Off the middle, where the crosshair would be.
    inside = list(grid().to_world((3, 12, 20)))
    edge = list(inside)
    edge[plane.right] = grid().to_world((0.5, 5.5, 9.5))[plane.right]

    assert colour_at(view, edge) == YELLOW
    assert max(colour_at(view, inside)) < 40


def test_a_mask_without_a_contour_is_filled(planes, viewer, box):
    viewer.add_layer(mask_layer(box, contour=0))

    assert colour_at(planes.views[CORONAL], grid().to_world((3, 12, 20))) == YELLOW


def test_a_hidden_layer_is_not_drawn_any_more(planes, viewer, box):
    layer = viewer.add_layer(mask_layer(box, contour=0))
    layer.visible = False

    assert max(colour_at(planes.views[CORONAL], grid().to_world((3, 12, 20)))) < 40


def test_what_is_painted_appears(planes, viewer, box):
    layer = viewer.add_layer(mask_layer(np.zeros(SHAPE, bool), contour=0))
    sagittal = planes.views[SAGITTAL]
    spot = grid().to_world((5, 4, VOXEL[2]))
    assert colour_at(sagittal, spot) != YELLOW

    layer.data_setitem((np.array([5]), np.array([4]), np.array([VOXEL[2]])), 1)

    assert colour_at(sagittal, spot) == YELLOW


def test_what_only_the_edit_layer_tells_of_appears(planes, viewer):
    class Edited(Labels):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            from napari.utils.events import Event

            self.events.add(edited=Event)

    data = np.zeros(SHAPE, np.uint8)
    layer = Edited(
        data, scale=SPACING, translate=ORIGIN, opacity=1.0, metadata=review_metadata("review_edit")
    )
    viewer.add_layer(layer)
    spot = grid().to_world((5, 4, VOXEL[2]))
    before = colour_at(planes.views[SAGITTAL], spot)
    data[5, 4, VOXEL[2]] = 1
    layer.events.edited()

    assert colour_at(planes.views[SAGITTAL], spot) != before


def test_another_grey_window_is_drawn(planes, viewer):
    viewer.layers[0].contrast_limits = (-3000, -1000)

    assert min(colour_at(planes.views[CORONAL], moved(PLACE, left=-8, inferior=8))) > 250


def test_a_coarse_map_lies_where_it_lies_in_the_patient(planes, viewer):
    coarse = np.zeros((2, 2, 2), np.float32)
    coarse[1, 1, 0] = 1.0
    viewer.add_layer(
        Image(
            coarse,
            scale=(20.0, 20.0, 20.0),
            translate=(-302.5, -81.0, 49.5),
            contrast_limits=(0, 1),
            colormap="red",
            blending="translucent_no_depth",
            metadata=review_metadata("map"),
        )
    )
    planes.go_to((-290.0, -60.0, 52.0))
    coronal = planes.views[CORONAL]

    assert colour_at(coronal, (-282.5, -60.0, 49.5)) == RED
    assert colour_at(coronal, (-282.5, -60.0, 73.0))[0] < 60


def test_layers_of_others_are_not_drawn(planes, viewer, box):
    layer = mask_layer(box, contour=0)
    layer.metadata = {}
    viewer.add_layer(layer)

    assert colour_at(planes.views[CORONAL], grid().to_world((3, 12, 20))) != YELLOW


def test_slices_are_numbered_from_one(planes):
    assert [view.caption for view in planes.views] == ["3 / 8", "16 / 20", "34 / 40"]


def test_without_a_ct_nothing_is_drawn_and_nothing_moves(planes, viewer, qtbot):
    planes.show_grid(None)
    click(qtbot, planes.views[CORONAL], PLACE)
    turn_wheel(planes.views[CORONAL], 3)

    assert viewer.dims.point == pytest.approx(PLACE)
    assert picture(planes.views[CORONAL]).max() == 0


def test_after_leaving_the_viewer_is_not_followed(planes, viewer):
    planes.leave()

    viewer.dims.set_point(0, -280.0)
    viewer.layers.clear()

    assert planes.views[AXIAL].place_mm == PLACE


@pytest.mark.parametrize("normal", [AXIAL, CORONAL, SAGITTAL])
def test_a_plane_of_a_flipped_volume_is_cut_without_copying_the_volume(normal):
    voxels = np.zeros((160, 160, 160), np.int16)[::-1, :, ::-1]  # as most files' axes run
    voxels[tuple(40 if axis == normal else slice(None) for axis in range(3))] = 700
    layer = Image(voxels, contrast_limits=(0, 1000))
    tracemalloc.start()
    try:
        picture = picture_of(layer, PLANES[normal], 40)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert picture.image is not None
    assert most < voxels.nbytes / 2
