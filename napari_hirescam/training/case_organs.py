"""Where the organ regions of a case come from: its masks, or PARTITION made once and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_hirescam.cases import Case
from napari_hirescam.errors import OrganError
from napari_hirescam.organs import OrganMap, find_organs
from napari_hirescam.training.sample_cache import Arrays, SampleCache
from napari_hirescam.volume import Volume


@dataclass(frozen=True)
class OrganSource:
    """Gives a case's organ regions.

    Parameters
    ----------
    kind
        "masks" of the case, "partition" for regions found in the CT, or masks where there are
        any and else PARTITION.
    rough
        Whether PARTITION may fall back on its rough regions.
    cache
        Keeps what PARTITION found, which takes longer than reading the CT.
    """

    kind: Literal["masks", "partition", "masks or partition"]
    rough: bool
    cache: SampleCache

    @property
    def words(self) -> str:
        """What distinguishes it from other sources."""
        return f"{self.kind}, {'rough' if self.rough else 'not rough'}"

    def of(self, case: Case, read_ct: Callable[[], Volume]) -> OrganMap:
        """Read or find the organs of a case, on the CT's grid.

        Parameters
        ----------
        case
            Whose organs.
        read_ct
            Gives its CT; called only where the CT is needed.

        Raises
        ------
        OrganError
            The case has no masks and PARTITION was not asked for, or PARTITION refuses the CT.
        VolumeError
            A file cannot be read.
        """
        if self.kind != "partition":
            organs = case.organs(read_ct())
            if organs is not None:
                return organs
            if self.kind == "masks":
                raise OrganError(
                    f"case {case.name}",
                    "it has no organ masks",
                    "Give masks in the table, or set data.organs to 'partition'",
                )
        return self._partition(case, read_ct)

    def _partition(self, case: Case, read_ct: Callable[[], Volume]) -> OrganMap:
        text = f"{case.fingerprint()}, rough {self.rough}"
        key = f"organs-{hashlib.sha256(text.encode()).hexdigest()[:40]}"
        kept = self.cache.get(key)
        if kept is not None:
            return _from_arrays(kept)
        found = find_organs(read_ct(), rough=self.rough)
        self.cache.put(key, _to_arrays(found), small=True)
        return found


def _to_arrays(organs: OrganMap) -> Arrays:
    facts = {"values": dict(organs.values), "origin": organs.origin, "doubts": organs.doubts}
    return {
        "labels": organs.labels,
        "affine": organs.affine,
        "facts": np.array(json.dumps(facts)),
    }


def _from_arrays(arrays: Arrays) -> OrganMap:
    facts = json.loads(str(arrays["facts"]))
    values = {organ: tuple(of) for organ, of in facts["values"].items()}
    return OrganMap(
        arrays["labels"], arrays["affine"], values, facts["origin"], tuple(facts["doubts"])
    )
