"""What the checks need to know of a CT, found once for all of its masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_hirescam.organs import OrganMap
from napari_hirescam.volume import Volume


@dataclass(frozen=True, eq=False)
class Scan:
    """A CT and what was found in it; see :func:`survey_scan`.

    Parameters
    ----------
    ct
        In HU.
    partition
        What PARTITION found; None if it found nothing or was not asked.
    """

    ct: Volume
    partition: OrganMap | None = None


def survey_scan(
    ct: Volume,
    *,
    partition: OrganMap | None = None,
    find: bool = False,
    should_stop: Callable[[], bool] | None = None,
) -> Scan:
    """Find body, middle and airways of a CT; seconds at 512 x 512 x 300.

    Parameters
    ----------
    partition
        What PARTITION found, if that is known already.
    find
        Let PARTITION search where `partition` is None.
    should_stop
        Asked often.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    """
    raise NotImplementedError
