"""CTs and masks of a folder, brought together by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from napari_hirescam.errors import Cancelled, ReviewError
from napari_hirescam.organs.organ_tables import BUILT_IN, organ_name
from napari_hirescam.review.entries import Entry, Problem
from napari_hirescam.review.mask_organs import stem_of
from napari_hirescam.review.table_columns import Recognised

_VOLUMES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".npz", ".dcm", ".zip")
_CT_NAMES = ("ct", "image", "img", "volume", "scan", "dicom")
_MASK_NAMES = (
    "mask", "masks", "seg", "segmentation", "segmentations", "label", "labels", "organs", "gt",
    "totalseg", "totalsegmentator",
)  # fmt: skip
_KNOWN_ORGANS = frozenset(name for table in BUILT_IN.values() for name in table)
_DEEPEST = 3
_MOST_EXAMPLES = 5
# nnU-Net gives each channel of an image a number; a CT has one.
_CHANNEL = "_0000"


@dataclass
class Found:
    """What a folder holds.

    Parameters
    ----------
    entries
        A CT each.
    problems
        Masks without a CT, and CTs without a mask.
    ways
        How they were found, in words.
    """

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    ways: dict[str, None] = field(default_factory=dict)


def recognise_folder(folder: Path) -> Recognised:
    """Say how the files of a folder belong together; see :func:`recognise`."""
    found = find_entries(folder)
    ways = "; ".join(found.ways)
    notes = []
    if found.problems:
        first = found.problems[0]
        more = f", and {len(found.problems) - 1} more" if len(found.problems) > 1 else ""
        notes.append(f"Left out: {first.words}{more}.")
    examples = []
    for entry in found.entries[:_MOST_EXAMPLES]:
        masks = [path for path in (entry.mask, *entry.organ_masks.values()) if path is not None]
        examples.append(
            {
                "case": entry.case,
                "ct": entry.ct.relative_to(folder).as_posix() or ".",
                "mask": ", ".join(path.relative_to(folder).as_posix() for path in masks),
            }
        )
    return Recognised(
        path=folder,
        layout="folder",
        columns={"case": "the names of files or folders", "ct": ways, "mask": ways},
        organ_masks={},
        label_maps={},
        labels=(),
        unused=(),
        headings=(),
        n_rows=len(found.entries),
        example=tuple(examples),
        notes=(*notes, "Each case counts as a patient of its own."),
    )


def find_entries(folder: Path, should_stop: Callable[[], bool] | None = None) -> Found:
    """Bring the CTs and masks of a folder together.

    Understood are a folder for each case, with ``ct.*``, ``image.*`` or ``dicom/`` and ``mask.*``,
    ``mask_ORGAN.*`` or ``segmentations/``; files side by side, ``CASE.*`` and ``CASE_seg.*``,
    ``CASE_mask_ORGAN.*`` or ``CASE_lungs.*``; and folders ``images...`` and ``labels...`` with
    files of one name in both.

    Raises
    ------
    ReviewError
        It cannot be looked into, or holds no CT with a mask.
    Cancelled
        `should_stop` said so.
    """
    found = Found()
    try:
        _look_into(folder, found, _DEEPEST, should_stop)
    except OSError as exc:
        raise ReviewError(
            folder, f"it cannot be looked into ({exc.strerror or exc})", "Check that you may"
        ) from exc
    if not found.entries:
        why = f"; {found.problems[0].words}" if found.problems else ""
        raise ReviewError(
            folder,
            f"it holds no CT with a mask beside it{why}",
            "Name them as docs/review.md says (CASE.nii.gz and CASE_seg.nii.gz, say), or give a "
            "table",
        )
    found.entries.sort(key=lambda entry: entry.case)
    return found


def _look_into(
    folder: Path, found: Found, depth: int, should_stop: Callable[[], bool] | None
) -> None:
    if should_stop is not None and should_stop():
        raise Cancelled("looking for cases was stopped")
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    folders = [path for path in inside if path.is_dir()]
    files = [path for path in inside if path.name.lower().endswith(_VOLUMES) and path.is_file()]
    ct = _own_ct(files, folders)
    if ct is not None:
        _take_case(folder, ct, files, folders, found)
        return
    images, masks = _image_and_mask_folders(folders)
    if images is not None and masks is not None:
        found.ways["folders of images and of masks, by the files' names"] = None
        beside = [path for path in masks.iterdir() if not path.name.startswith(".")]
        _pair(images.iterdir(), beside, found, least_suffix=False)
        folders = [path for path in folders if path not in (images, masks)]
    paired = _pair([*files, *folders], [*files, *folders], found, least_suffix=True)
    if depth:
        for inner in folders:
            if inner not in paired:
                _look_into(inner, found, depth - 1, should_stop)


def _own_ct(files: Iterable[Path], folders: Iterable[Path]) -> Path | None:
    """The CT of a folder that is one case."""
    for path in (*files, *folders):
        if stem_of(path).lower() in _CT_NAMES:
            return path
    return None


def _take_case(
    folder: Path, ct: Path, files: list[Path], folders: list[Path], found: Found
) -> None:
    mask: Path | None = None
    organs: dict[str, Path] = {}
    for path in (*folders, *files):
        organ = None if path == ct else _organ_in(stem_of(path).lower())
        if organ:
            organs[organ] = path
        elif organ is not None:
            mask = mask or path
    if mask is None and not organs:
        found.problems.append(Problem(None, folder.name, f"there is no mask beside {ct.name}"))
        return
    found.ways["a folder for each case"] = None
    found.entries.append(Entry(folder.name, ct, patient=folder.name, mask=mask, organ_masks=organs))


def _organ_in(name: str) -> str | None:
    """Say of which organ a mask is by the end of its name: "mask_heart", "heart_seg" or "heart".

    "" where it only says that it is a mask ("seg", "totalseg_labels"); None where it says neither.
    """
    words = re.split(r"[_.-]+", name)
    rest = [word for word in words if word not in _MASK_NAMES]
    if not rest:
        return ""
    organ = organ_name("_".join(rest))
    return organ if organ in _KNOWN_ORGANS or len(rest) < len(words) else None


def _image_and_mask_folders(folders: Iterable[Path]) -> tuple[Path | None, Path | None]:
    images = masks = None
    for path in folders:
        word = path.name.lower()
        if word in ("images", "imagestr", "cts", "scans", "volumes"):
            images = images or path
        elif word in ("labels", "labelstr", "masks", "segmentations", "segs"):
            masks = masks or path
    return images, masks


def _pair(
    cts: Iterable[Path], masks: Iterable[Path], found: Found, *, least_suffix: bool
) -> set[Path]:
    """Find masks by the names of CTs; answers what was paired.

    `least_suffix`: whether CTs and masks lie in one folder, so that a mask must be called more
    than its CT is.
    """
    by_stem = {
        stem_of(path).removesuffix(_CHANNEL): path
        for path in sorted(cts)
        if not path.name.startswith(".") and (path.is_dir() or path.name.lower().endswith(_VOLUMES))
    }
    own: dict[str, Path] = {}
    organs: dict[str, dict[str, Path]] = {}
    for mask in sorted(masks):
        stem = stem_of(mask)
        for case, organ in _meant(stem, by_stem, whole=not least_suffix):
            if organ:
                organs.setdefault(case, {})[organ] = mask
            else:
                own.setdefault(case, mask)
            break
        else:
            if not least_suffix:
                found.problems.append(Problem(None, stem, "its mask has no CT"))
    taken = {*own.values(), *(path for group in organs.values() for path in group.values())}
    paired = set(taken)
    for case, ct in by_stem.items():
        if ct in taken:
            continue
        if case not in own and case not in organs:
            if ct.is_file():
                found.problems.append(Problem(None, case, f"there is no mask beside {ct.name}"))
            continue
        if least_suffix:
            found.ways["files side by side, by their names"] = None
        paired.add(ct)
        found.entries.append(
            Entry(case, ct, patient=case, mask=own.get(case), organ_masks=organs.get(case, {}))
        )
    return paired


def _meant(stem: str, cases: dict[str, Path], *, whole: bool) -> Iterator[tuple[str, str]]:
    """Of which case a mask may be, and of which organ alone; "" for several. Longest case first."""
    if whole and stem in cases:
        yield stem, ""
    for end in range(len(stem) - 1, 0, -1):
        if stem[end] not in "_-." or stem[:end] not in cases:
            continue
        organ = _organ_in(stem[end + 1 :].lower())
        if organ is not None:
            yield stem[:end], organ
