"""A case whose masks are those that a review agreed to."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_hirescam import __version__
from napari_hirescam.cases import Case, FileCase
from napari_hirescam.errors import CaseTableError, OrganError
from napari_hirescam.organs import OrganMap, find_organs
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.organ_tables import MADE_OF, with_whole_organs
from napari_hirescam.organs.replacing import with_organs
from napari_hirescam.review.edited_masks import read_edit
from napari_hirescam.review.event import Edit
from napari_hirescam.review.file_hash import file_sha256
from napari_hirescam.review.item import Item
from napari_hirescam.review.loading import mask_sha256
from napari_hirescam.volume import Volume


@dataclass(frozen=True)
class ReviewedCase(Case):
    """A case with corrected masks or rough regions in the place of some of its organs.

    Parameters
    ----------
    base
        Whose CT, labels, lesions and other organs these are.
    edits
        Organ -> the corrected copy that takes its place.
    rough
        Organs that rough regions take the place of.
    seen
        Organ -> what was judged and agreed to, and its SHA-256: another mask that came there
        since is refused.
    """

    base: Case | None = None
    edits: Mapping[str, Edit] = field(default_factory=dict)
    rough: tuple[str, ...] = ()
    seen: Mapping[str, tuple[Item, str]] = field(default_factory=dict)

    @property
    def _base(self) -> Case:
        if self.base is None:
            raise ValueError("a reviewed case needs the case it is made of")
        return self.base

    def ct(self) -> Volume:
        """Read the CT; see :meth:`Case.ct`."""
        return self._base.ct()

    def organs(self, ct: Volume | None = None) -> OrganMap | None:
        """Give the organs as they were agreed to; see :meth:`Case.organs`.

        Raises
        ------
        VolumeError, OrganError, ReviewError
            A mask cannot be read, or is not what it was when it was judged.
        """
        self._refuse_changed()
        if not self.edits and not self.rough:
            return self._base.organs(ct)
        ct = ct or self.ct()
        # Read before the rest, which may take long.
        masks = {organ: read_edit(edit, ct) for organ, edit in self.edits.items()}
        doubts, notes = [], [f"{organ}: the review's corrected mask" for organ in masks]
        if self.rough:
            found = find_organs(ct, rough=True)
            masks |= {organ: found.mask([organ]) for organ in self.rough}
            for organ in self.rough:
                # Halves of rough lungs are as rough.
                masks |= {
                    part: found.mask([part])
                    for part in MADE_OF.get(organ, ())
                    if part in found.values and part not in masks
                }
            doubts += [f"{', '.join(self.rough)}: {doubt}" for doubt in found.doubts]
            notes += [f"{organ}: {found.origin}, as the review decided" for organ in self.rough]
        drawn = self._base.organs(ct)
        if drawn is None:
            drawn = OrganMap.from_masks(masks, ct.affine, "the review")
            whole = replace(drawn, values=with_whole_organs(drawn.values))
        else:
            whole = with_organs(drawn, masks)
        return replace(whole, doubts=(*whole.doubts, *doubts), notes=(*whole.notes, *notes))

    def lesions(self, ct: Volume | None = None) -> dict[str, BoolArray]:
        """Give the case's own lesions; see :meth:`Case.lesions`."""
        return self._base.lesions(ct)

    def check(self, organs: Collection[str] = ()) -> None:
        """Check the case's own files, and that masks and corrected copies are what they were."""
        replaced = {*self.edits, *self.rough}
        self._base.check(set(organs) - replaced)
        if organs:  # now: what was prepared before is taken later without a look at the mask
            try:
                self._refuse_changed()
            except OrganError as exc:
                raise CaseTableError(exc.subject, exc.reason, exc.remedy) from exc
        for organ, edit in self.edits.items():
            try:
                sha256 = file_sha256(edit.file)
            except OSError as exc:
                raise CaseTableError(
                    self.name,
                    f"the corrected mask of {organ}, {edit.file.name}, cannot be read "
                    f"({exc.strerror or exc})",
                    "Put it back beside the review's file",
                ) from exc
            if sha256 != edit.sha256:
                raise CaseTableError(
                    self.name,
                    f"the corrected mask of {organ}, {edit.file.name}, was changed since",
                    "Put back what the review recorded, or correct it in the review",
                )

    def replaced(self) -> list[tuple[str, str]]:
        """Tell what came in the place of which organ: an edit's SHA-256, or "rough"."""
        edits = [(organ, edit.sha256) for organ, edit in self.edits.items()]
        return sorted([*edits, *((organ, "rough") for organ in self.rough)])

    def fingerprint(self) -> str:
        """Tell the case by its own files and what was put in; see :meth:`Case.fingerprint`."""
        base = self._base.fingerprint()
        if not self.replaced():
            return base
        told = repr((base, self.replaced(), __version__ if self.rough else ""))
        return hashlib.sha256(told.encode()).hexdigest()

    def _refuse_changed(self) -> None:
        """Refuse a mask that came into the place of the one that was judged."""
        found: dict[Path, str] = {}  # organs of one label map share its file
        for organ, (item, sha256) in self.seen.items():
            if item.mask is None or not _reads_judged_mask(self._base, item):
                continue
            now = found[item.mask] if item.mask in found else mask_sha256(item)
            if not item.mask.is_dir():
                found[item.mask] = now
            if now != sha256:
                raise OrganError(
                    self.name,
                    f"its mask of {organ}, {item.mask.name}, is not the one that was reviewed",
                    "Put back the one that was, or review it anew",
                )


def reads_another_mask(case: Case, item: Item) -> bool:
    """Say whether a case has a mask that is not the file that was judged."""
    has_own = isinstance(case, FileCase) and case.masks_path is not None
    return has_own and not _reads_judged_mask(case, item)


def _reads_judged_mask(case: Case, item: Item) -> bool:
    """Say whether the mask that was judged is the file that the case reads."""
    if not isinstance(case, FileCase) or case.masks_path is None or item.mask is None:
        return False
    own, judged = case.masks_path.resolve(), item.mask.resolve()
    return own == judged or own == judged.parent
