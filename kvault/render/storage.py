"""Views of storage and exchange as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvault.render.table import table

if TYPE_CHECKING:
    from kvault.vault import views_storage as views

_STEPS = (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000))


def size(count: int) -> str:
    """Bytes as a person reads them."""
    unit, least = next(((unit, least) for unit, least in _STEPS if count >= least), ("B", 1))
    return f"{count / least:.1f} {unit}" if least > 1 else f"{count} B"


def collected(view: views.GcView) -> str:
    """A collection: bytes for each reason."""
    held = f"{view.wanted} objects are wanted, {size(view.wanted_bytes)}."
    if not view.piles:
        return f"Nothing to collect. {held}"
    rows = [(pile.reason, pile.form, str(pile.objects), size(pile.bytes)) for pile in view.piles]
    note = "\nNothing was changed." if view.dry_run else ""
    return f"{table(('reason', 'form', 'objects', 'bytes'), rows)}\n{held}{note}"
