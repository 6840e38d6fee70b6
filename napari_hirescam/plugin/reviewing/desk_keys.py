"""What each key of a review does at a reader's desk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from napari_hirescam.plugin.reviewing.keys import KeysDialog

if TYPE_CHECKING:
    from napari_hirescam.plugin.reviewing.desk import Desk

Act = Callable[[], None]


def actions_of(desk: Desk) -> dict[str, Act]:
    """Give the action of each name in :data:`~napari_hirescam.plugin.reviewing.keys.KEYS`."""
    form, checks, settling = desk.page.form, desk.page.checks, desk.page.settling

    def on_item(act: Act) -> Act:
        # An answer to what is not on the screen would be an answer to something else, and the
        # list may point at another item.
        return lambda: act() if desk.loaded is not None and desk.brought_to_front() else None

    def numbered(name: str, act: Callable[[int], None], n: int) -> dict[str, Act]:
        return {f"{name} {k}": on_item(partial(act, k)) for k in range(1, n + 1)}

    def comment() -> None:
        desk.tabs.setCurrentWidget(desk.page)
        form.comment.enter()

    def work_list() -> None:
        desk.tabs.setCurrentWidget(desk.list)
        desk.list.search.enter()
        desk.list.search.selectAll()

    def keys() -> None:
        KeysDialog(desk).exec()

    return {
        **numbered("rate", form.rate, 5),
        **numbered("reason", form.toggle_reason, 9),
        **numbered("question", form.turn_question, 9),
        **numbered("take", lambda place: settling.take(place - 1), 2),
        "use": on_item(lambda: form.decide("use")),
        "rough": on_item(lambda: form.decide("rough")),
        "exclude": on_item(lambda: form.decide("exclude")),
        "resegment": on_item(lambda: form.decide("resegment")),
        "next": desk.next,
        "previous": desk.previous,
        "following": desk.following,
        "edit": desk.edit,
        "flag": on_item(form.toggle_flag),
        "comment": on_item(comment),
        "headwards": lambda: desk.step_slice(-1),
        "footwards": lambda: desk.step_slice(1),
        "mask": desk.views.toggle_mask,
        "surface": desk.views.toggle_3d,
        "others": desk.views.toggle_others,
        "next place": lambda: checks.step(1),
        "previous place": lambda: checks.step(-1),
        "attention": desk.toggle_attention,
        "list": work_list,
        "finish": desk.finish,
        "keys": keys,
    }
