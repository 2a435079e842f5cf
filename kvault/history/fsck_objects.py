"""Do the objects hold: everything that is needed is there, and every object's bytes hash to its name."""

from __future__ import annotations

from collections.abc import Iterator

from sqlmodel import Session, select

from kvault.errors import KvaultError
from kvault.history.findings import Code, Finding
from kvault.history.needs import Needs
from kvault.history.tables import RecordRow
from kvault.ids import Digest
from kvault.objects.failures import ObjectDamaged, ObjectMissing
from kvault.objects.tensors import decode_tensors


def needed_objects(needs: Needs, present: set[Digest]) -> Iterator[Finding]:
    """What is missing, and what the walk could not read."""
    for digest in sorted(set(needs.users) - present):
        message = "the store does not hold it"
        yield Finding(Code.OBJECT_MISSING, digest, message, needs.needed_by(digest))
    for digest, what in sorted(needs.unreadable.items()):
        yield Finding(Code.OBJECT_DAMAGED, digest, what, needs.needed_by(digest))


def stored_objects(needs: Needs, present: set[Digest]) -> Iterator[Finding]:
    """The objects that the walk did not read, each read and verified."""
    for digest in sorted(present - needs.read - set(needs.unreadable)):
        try:
            needs.store.get(digest)
        except ObjectDamaged as error:
            yield Finding(Code.OBJECT_DAMAGED, digest, error.what, needs.needed_by(digest) or "nothing")
        except ObjectMissing:
            continue  # collected since it was listed


def record_rows(session: Session, needs: Needs) -> Iterator[Finding]:
    """Rows that find records again: each names a record that was made under its recipe for its group."""
    for row in session.exec(select(RecordRow)):
        try:
            _, document = decode_tensors(needs.store.get(Digest(row.digest)))
        except (ObjectDamaged, ObjectMissing):
            continue  # told as an object
        except KvaultError as error:
            yield Finding(Code.RECORD_ROW, row.digest, f"it names no record: {error.message}", "record row")
            continue
        if (document.get("recipe"), document.get("group")) != (row.recipe, row.group_digest):
            yield Finding(
                Code.RECORD_ROW,
                row.digest,
                "the record was made under another recipe or for another group",
                "record row",
            )
