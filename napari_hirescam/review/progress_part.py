"""Progress of several steps, told as one."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
#: The whole, of which each step gets a part.
WHOLE = 1000


def part_of(progress: Progress | None, first: int, last: int) -> Progress | None:
    """Give a step its part, from `first` to `last` of :data:`WHOLE`; None where nobody listens."""
    if progress is None:
        return None

    def part(done: int, total: int) -> None:
        progress(first + round((last - first) * done / max(total, 1)), WHOLE)

    return part
