"""Small facts about a vault that its database holds: the branch that is switched to, the base model's fingerprint."""

from __future__ import annotations

from enum import StrEnum

from sqlmodel import Session

from kvault.errors import NotFound
from kvault.history.tables import MetaRow


class Meta(StrEnum):
    """The names of a vault's facts about itself."""

    HEAD = "head"
    BASE = "base"


def read(session: Session, name: Meta) -> str:
    """The value of ``name``. Raises :class:`NotFound` in a vault that was never set up."""
    row = session.get(MetaRow, name.value)
    if row is None:
        raise NotFound(f"the vault does not say its {name.value}", remedy="Set the vault up with `kvault init`.")
    return row.value


def write(session: Session, name: Meta, value: str) -> None:
    """Set ``name`` to ``value`` in the caller's writing transaction."""
    session.merge(MetaRow(name=name.value, value=value))
    session.flush()
