"""Images of PASCAL VOC 2012 with the segmentation of their objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import CaseTableError
from napari_hirescam.reproduce.voc_classes import VOC_CLASSES, VOID

_IMAGES, _SEGMENTATIONS = "JPEGImages", "SegmentationClass"
_SPLIT = "ImageSets/Segmentation/val.txt"


@dataclass(frozen=True, eq=False)
class VocImage:
    """A photograph and its segmentation, of one size.

    Parameters
    ----------
    name
        Of the file, without its ending.
    pixels
        uint8 [row, column, RGB].
    segmentation
        uint8 [row, column]: 0 background, 1 to 20 as in VOC_CLASSES, 255 void.
    """

    name: str
    pixels: npt.NDArray[np.uint8]
    segmentation: npt.NDArray[np.uint8]

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of which there is a pixel."""
        values = np.unique(self.segmentation)
        return tuple(VOC_CLASSES[v - 1] for v in values if 1 <= v <= len(VOC_CLASSES))

    def pixels_of(self, name: str) -> npt.NDArray[np.bool_]:
        """Where a class is."""
        found: npt.NDArray[np.bool_] = self.segmentation == 1 + VOC_CLASSES.index(name)
        return found

    @property
    def void(self) -> npt.NDArray[np.bool_]:
        """Pixels that count neither as inside nor as outside."""
        found: npt.NDArray[np.bool_] = self.segmentation == VOID
        return found


@dataclass(frozen=True)
class VocFolder:
    """The images to be measured, named and checked to be there.

    Parameters
    ----------
    folder
        With JPEGImages and SegmentationClass.
    names
        In order.
    split
        What they are: the validation list, or all that are segmented.
    """

    folder: Path
    names: tuple[str, ...]
    split: str

    def read(self, rows: int, columns: int) -> Iterator[VocImage]:
        """Read the images, resized: bicubic, and their segmentation by nearest neighbour."""
        for name in self.names:
            yield read_voc_image(self.folder, name, rows, columns)


def find_voc(folder: Path, limit: int | None = None, seed: int = 0) -> VocFolder:
    """Look for the segmented images of a VOC folder (VOCdevkit/VOC2012).

    Parameters
    ----------
    folder
        With JPEGImages, SegmentationClass and, of the whole data set, ImageSets.
    limit
        Take so many, drawn at random; None is all.
    seed
        Of the draw.

    Raises
    ------
    CaseTableError
        A folder or a listed file is missing, or there is no image.
    """
    for part in (_IMAGES, _SEGMENTATIONS):
        if not (folder / part).is_dir():
            raise CaseTableError(
                folder,
                f"it has no folder {part}",
                "Give the folder VOC2012 of the data set's VOCdevkit",
            )
    listed = folder / _SPLIT
    if listed.is_file():
        split = "validation list"
        try:
            names = listed.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as exc:
            raise CaseTableError(listed, "it cannot be read as text", "Copy it again") from exc
    else:
        split = "all segmented images"
        names = [path.stem for path in sorted((folder / _SEGMENTATIONS).glob("*.png"))]
    if limit is not None and limit < len(names):
        chosen = np.random.default_rng(seed).choice(len(names), limit, replace=False)
        names = [names[k] for k in np.sort(chosen)]
    missing = [name for name in names if not all(p.is_file() for p in _files(folder, name))]
    if missing or not names:
        shown = ", ".join(missing[:3])
        raise CaseTableError(
            folder,
            f"{len(missing)} of {len(names)} images lack their jpg or png, {shown} say"
            if missing
            else "it holds no segmented image",
            "Unpack the data set's archive again",
        )
    return VocFolder(folder, tuple(names), split)


def read_voc_image(folder: Path, name: str, rows: int, columns: int) -> VocImage:
    """Read one image and its segmentation, resized as the paper does.

    Raises
    ------
    CaseTableError
        A file is damaged, the two differ in size, or a value is of no class.
    """
    from PIL import Image

    image_file, segmentation_file = _files(folder, name)
    size = (columns, rows)
    with _opened(image_file) as image, _opened(segmentation_file) as segmentation:
        if image.size != segmentation.size:
            raise CaseTableError(
                segmentation_file,
                f"it has {segmentation.size} pixels, the image {image.size}",
                "Unpack the data set's archive again",
            )
        if segmentation.mode not in ("P", "L"):
            raise CaseTableError(
                segmentation_file,
                f"its pixels are {segmentation.mode}, not indices of classes",
                "Give the PNG of the data set, with its palette",
            )
        pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
        values = np.asarray(segmentation.resize(size, Image.Resampling.NEAREST))
    unknown = np.setdiff1d(values, [*range(len(VOC_CLASSES) + 1), VOID])
    if unknown.size:
        raise CaseTableError(
            segmentation_file,
            f"its value {unknown[0]} is of no class",
            "Give the PNG of the data set, with its palette",
        )
    return VocImage(name, pixels, values.astype(np.uint8))


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / _IMAGES / f"{name}.jpg", folder / _SEGMENTATIONS / f"{name}.png"


def _opened(file: Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(file)
        image.load()
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as exc:
        raise CaseTableError(
            file, f"it cannot be read as an image: {exc}", "Unpack the data set's archive again"
        ) from exc
    return image
