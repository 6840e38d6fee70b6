"""Thresholds tuned on one set of cases and frozen for another.

For each label, and each model and method, the threshold with the best mean over the validation
cases that have the label (arXiv 2011.08891v2); the first of them where several are best. Frozen
thresholds know which cases they were tuned on and for which network, and refuse to be used on
those cases or for another network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_hirescam.attention.result import PlacementName
from napari_hirescam.cases import same_patient
from napari_hirescam.errors import SettingsError
from napari_hirescam.evaluation.organ_iou import THRESHOLDS
from napari_hirescam.safe_write import Section, write_file
from napari_hirescam.volume import FloatArray

if TYPE_CHECKING:
    from napari_hirescam.cases import Case, CaseTable
    from napari_hirescam.evaluation.case_measures import MapMeasures
    from napari_hirescam.models import Classifier
    from napari_hirescam.volume import Volume

#: What a threshold is tuned for: OrganIoU by either definition, or IoU with outlined lesions.
Kind = Literal["corrected", "reference", "lesion"]
KINDS: tuple[Kind, ...] = ("corrected", "reference", "lesion")

_LARGEST_FILE = 64 << 20
#: Voxels of a CT that go into its fingerprint, about.
_VOXELS_OF_FINGERPRINT = 200_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TunedThreshold(_Part):
    """The threshold of one label.

    `mean` is the best mean over `n` maps of the cases it was tuned on. `pooled` is True where no
    such case had the label: then it is the threshold that is best over all labels together.
    """

    threshold: float = Field(ge=0, lt=1)
    mean: float
    n: int = Field(ge=1)
    pooled: bool = False


class TunedOn(_Part):
    """The cases thresholds were tuned on, by digests that name nobody."""

    table: str
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    scans: tuple[str, ...]


class FrozenThresholds(_Part):
    """Thresholds that may be used on other cases of the same network.

    Parameters
    ----------
    model
        Its name, for the reader.
    network_sha256
        Digest of the network's parameters; see :func:`network_digest`.
    target_layer, placement, rule
        How the maps and regions were made.
    tuned_on
        Which cases.
    values
        Method -> kind -> label -> threshold.
    """

    format: Literal[1] = 1
    model: str
    network_sha256: str
    target_layer: str
    placement: PlacementName
    rule: str
    tuned_on: TunedOn
    values: Mapping[str, Mapping[Kind, Mapping[str, TunedThreshold]]]

    def of(self, label: str, method: str, kind: Kind = "corrected") -> float:
        """Threshold of one label by one method; NaN where none could be tuned."""
        tuned = self.values.get(method, {}).get(kind, {}).get(label)
        return tuned.threshold if tuned else float("nan")

    def refuse_other_network(
        self, network_sha256: str, target_layer: str, placement: str, rule: str
    ) -> None:
        """Raise SettingsError if they were tuned for other maps than these."""
        mine = (self.network_sha256, self.target_layer, self.placement, self.rule)
        theirs = (network_sha256, target_layer, placement, rule)
        names = ("weights of the network", "target layer", "placement", "rule for cells")
        wrong = [name for name, a, b in zip(names, mine, theirs, strict=True) if a != b]
        if wrong:
            raise SettingsError(
                "thresholds",
                f"they were tuned for {self.model} with another {', '.join(wrong)}",
                "Tune them for this model on validation cases",
            )

    def refuse_methods(self, methods: Iterable[str]) -> None:
        """Raise SettingsError if they were not tuned for a method."""
        missing = [method for method in methods if method not in self.values]
        if missing:
            raise SettingsError(
                "thresholds",
                f"they were not tuned for {', '.join(missing)}",
                f"Leave it out, or tune again; there are: {', '.join(self.values)}",
            )

    def refuse_cases(self, table: CaseTable) -> None:
        """Raise SettingsError if any case or patient of a table was tuned on."""
        patients, cases = set(self.tuned_on.patients), set(self.tuned_on.cases)
        again = [
            case.name
            for case in table.cases
            if digest(same_patient(case.patient)) in patients or digest(case.name) in cases
        ]
        if again:
            raise SettingsError(
                table.name,
                f"{len(again)} of its {len(table.cases)} cases, or their patients, were used for "
                f"tuning the thresholds ({', '.join(again[:3])}{', ...' if again[3:] else ''})",
                "Test on cases of other patients",
            )

    def refuse_scan(self, case: str, scan: str) -> None:
        """Raise SettingsError if this very scan was tuned on, whatever it is called now."""
        if scan in self.tuned_on.scans:
            raise SettingsError(
                case,
                "its CT is voxel by voxel one of those that the thresholds were tuned on, "
                "under another name",
                "Take it out of the test cases, and look for more such pairs",
            )

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write them as JSON, whole or not at all.

        Raises
        ------
        SettingsError
            The file exists and may not be replaced, or cannot be written.
        """
        content = self.as_json()
        try:
            write_file(Path(path), [Section(lambda: [content])], overwrite=overwrite)
        except OSError as exc:
            raise SettingsError(
                path, f"it cannot be written: {exc.strerror or exc}", "Choose another file"
            ) from exc

    def as_json(self) -> bytes:
        """Return the bytes :meth:`save` writes."""
        return f"{self.model_dump_json(indent=1)}\n".encode()

    @classmethod
    def load(cls, path: str | Path) -> FrozenThresholds:
        """Read what :meth:`save` wrote.

        Raises
        ------
        SettingsError
            It cannot be read, or is not such a file.
        """
        try:
            file = Path(path)
            if file.stat().st_size > _LARGEST_FILE:
                raise SettingsError(path, "it is too large for thresholds", "Give another file")
            return cls.model_validate_json(file.read_bytes())
        except OSError as exc:
            raise SettingsError(
                path, f"it cannot be read: {exc.strerror or exc}", "Give another file"
            ) from exc
        except ValidationError as exc:
            first = exc.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise SettingsError(
                path,
                f"it is no file of frozen thresholds: {where}: {first['msg']}",
                "Give the thresholds.json of an earlier evaluation",
            ) from exc


def tune(
    measured: Sequence[MapMeasures], labels: Sequence[str]
) -> dict[str, dict[Kind, dict[str, TunedThreshold]]]:
    """Choose each label's threshold, by method and kind.

    Parameters
    ----------
    measured
        Maps of the validation cases; only those of present labels are looked at.
    labels
        All labels; one that no case has gets the threshold that is best over all labels together.

    Returns
    -------
    Method -> kind -> label -> threshold. A kind is left out where no map could be judged by it.
    """
    present = [row for row in measured if row.present]
    chosen: dict[str, dict[Kind, dict[str, TunedThreshold]]] = {}
    for method in dict.fromkeys(row.method for row in measured):
        rows = [row for row in present if row.method == method]
        chosen[method] = {}
        for kind in KINDS:
            pooled = _best([row.curve(kind) for row in rows])
            if pooled is None:
                continue
            by_label = {
                label: _best([row.curve(kind) for row in rows if row.label == label])
                for label in labels
            }
            chosen[method][kind] = {
                label: best or pooled.model_copy(update={"pooled": True})
                for label, best in by_label.items()
            }
    return chosen


def mean_curve(curves: Sequence[FloatArray]) -> tuple[FloatArray, int]:
    """Mean over maps at each threshold, of those that are defined; and how many there are."""
    defined = [curve for curve in curves if np.isfinite(curve).any()]
    mean: FloatArray = np.full(len(THRESHOLDS), np.nan)
    if defined:
        table = np.array(defined)
        counts = np.isfinite(table).sum(axis=0)
        np.divide(np.nansum(table, axis=0), counts, out=mean, where=counts > 0)
    return mean, len(defined)


def _best(curves: Sequence[FloatArray]) -> TunedThreshold | None:
    mean, n = mean_curve(curves)
    if not n:
        return None
    # Sums of many shares differ in their last bits where they should tie.
    k = int(np.nanargmax(np.round(mean, 12)))
    return TunedThreshold(threshold=THRESHOLDS[k], mean=float(mean[k]), n=n)


def tuned_on(table: CaseTable, scans: Iterable[str]) -> TunedOn:
    """Note which cases thresholds were tuned on."""
    return TunedOn(
        table=table.name,
        cases=_digests(table.cases, lambda case: case.name),
        patients=_digests(table.cases, lambda case: same_patient(case.patient)),
        scans=tuple(sorted(set(scans))),
    )


def _digests(cases: Iterable[Case], of: Callable[[Case], str]) -> tuple[str, ...]:
    return tuple(sorted({digest(of(case)) for case in cases}))


def digest(text: str) -> str:
    """Digest a name, so that a file can be compared with it and does not hold it."""
    return hashlib.sha256(text.encode()).hexdigest()


def scan_digest(volume: Volume) -> str:
    """Digest a CT by its shape and evenly spread voxels, to know it again under another name."""
    voxels = volume.voxels
    step = max(1, round((voxels.size / _VOXELS_OF_FINGERPRINT) ** (1 / 3)))
    sample = voxels[::step, ::step, ::step].astype("<f4")
    return hashlib.sha256(f"{voxels.shape}".encode() + sample.tobytes()).hexdigest()


def network_digest(classifier: Classifier) -> str:
    """Digest a network's parameters and buffers; the same before saving and after loading."""
    import torch

    found = hashlib.sha256()
    for name, values in sorted(classifier.network.state_dict().items()):
        if not isinstance(values, torch.Tensor):
            continue
        stored = values.detach().cpu()
        stored = (stored.int_repr() if stored.is_quantized else stored).contiguous()
        found.update(f"{name} {stored.dtype} {tuple(stored.shape)}\n".encode())
        found.update(stored.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
