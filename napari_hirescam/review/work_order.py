"""The order in which a work list is gone through, and what comes back unannounced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from napari_hirescam.errors import ReviewError
from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item, MaskFacts

#: A hidden repeat comes at least so many items later.
LEAST_APART = 10


def arrange(
    items: Sequence[Item], plan: Plan, facts: Mapping[int, MaskFacts] | None = None
) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """Put items in the plan's order, add its hidden repeats, and number them anew.

    "random" shuffles the cases; what is judged in one case stays together, so that a CT is read
    and looked through once. "worst_first" goes by each item's worst finding; maps come last.

    Parameters
    ----------
    items
        In the order of the table.
    plan
        Its order, seed and share of repeats.
    facts
        Number of an item -> what the checks found; needed for "worst_first".

    Returns
    -------
    The items, and what the user should know, one sentence each.

    Raises
    ------
    ReviewError
        The share of repeats is no share, or the checks are missing.
    """
    if not 0 <= plan.repeat_share <= 1:
        raise ReviewError(
            "repeats", f"{plan.repeat_share:g} is no share", "Give one from 0 to 1, 0.1 say"
        )
    ordered = _in_order(items, plan, facts)
    after, notes = _repeats(ordered, plan)
    arranged: list[Item] = []
    number_of: dict[int, int] = {}
    for place, item in enumerate(ordered):
        number = len(arranged) + 1
        number_of[item.number] = number
        arranged.append(replace(item, number=number))
        for original in after.get(place, ()):
            arranged.append(
                replace(original, number=len(arranged) + 1, repeat_of=number_of[original.number])
            )
    return tuple(arranged), notes


def _in_order(
    items: Sequence[Item], plan: Plan, facts: Mapping[int, MaskFacts] | None
) -> list[Item]:
    if plan.order == "given":
        return list(items)
    if plan.order == "random":
        cases: dict[str, list[Item]] = {}
        for item in items:
            cases.setdefault(item.case, []).append(item)
        names = list(cases)
        drawn = np.random.default_rng(plan.seed).permutation(len(names))
        return [item for k in drawn for item in cases[names[k]]]
    if facts is None:
        raise ReviewError(
            "order", "the worst cannot come first before the checks have run", "Run the checks"
        )
    found = {item.number: facts.get(item.number) for item in items}
    return sorted(items, key=lambda item: -_worst(found[item.number]))


def _worst(facts: MaskFacts | None) -> float:
    if facts is None:
        return -1.0
    return max((finding.severity for finding in facts.findings), default=0.0)


def _repeats(ordered: Sequence[Item], plan: Plan) -> tuple[dict[int, list[Item]], tuple[str, ...]]:
    """Draw the repeats: place in the order -> those that follow it.

    They come between cases where they can, so that none gives itself away by its place amid
    another case.
    """
    wanted = round(plan.repeat_share * len(ordered))
    able = max(len(ordered) - LEAST_APART + 1, 0)
    count = min(max(wanted, 1 if plan.repeat_share else 0), able)
    short: tuple[str, ...] = ()
    if count < max(wanted, 1 if plan.repeat_share else 0):
        text = (
            f"{count} of {max(wanted, 1)} hidden repeats found a place: they come at least "
            f"{LEAST_APART} items later, and the work list is short."
        )
        short = (text,)
    rng = np.random.default_rng([plan.seed, 1])
    last = len(ordered) - 1
    ends = np.array(
        [k for k in range(last) if ordered[k].case != ordered[k + 1].case] + [last], dtype=int
    )
    after: dict[int, list[Item]] = {}
    for place in sorted(rng.choice(able, count, replace=False)) if count else ():
        # After item `place + 9` it is the tenth one after its original.
        choices = ends[ends >= place + LEAST_APART - 1]
        after.setdefault(int(rng.choice(choices)), []).append(ordered[place])
    return after, short
