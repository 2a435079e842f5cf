"""Do the objects hold: everything that is needed is there, and every object's bytes hash to its name.

Each object is read once, as a stream: what the walk over the commits did not read is hashed here, and what a record's
row says is compared with the header that passes by. No tensor is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlmodel import Session, select

from kvault.history.findings import Code, Finding
from kvault.history.needs import Needs
from kvault.history.tables import RecordRow
from kvault.ids import Digest
from kvault.objects import headers
from kvault.objects.failures import ObjectDamaged, ObjectMissing
from kvault.objects.store import ObjectStore

Progress = Callable[[str, int, int], None]
_TOLD = 64
"""How many objects go by between two signs of progress."""


def needed_objects(needs: Needs, present: set[Digest]) -> Iterator[Finding]:
    """What is missing, and what the walk could not read."""
    for digest in sorted(set(needs.users) - present):
        message = "the store does not hold it"
        yield Finding(Code.OBJECT_MISSING, digest, message, needs.needed_by(digest))
    for digest, what in sorted(needs.unreadable.items()):
        yield Finding(Code.OBJECT_DAMAGED, digest, what, needs.needed_by(digest))


def stored_objects(
    session: Session, store: ObjectStore, needs: Needs, present: set[Digest], progress: Progress
) -> Iterator[Finding]:
    """The objects that the walk did not read, each read once, and what the rows of records say of them."""
    rows = {Digest(row.digest): row for row in session.exec(select(RecordRow))}
    for digest in sorted(rows.keys() & needs.read):
        yield Finding(Code.RECORD_ROW, digest, "it names no record", "record row")
    waiting = sorted(present - needs.read - set(needs.unreadable))
    for done, digest in enumerate(waiting, start=1):
        if done % _TOLD == 0 or done == len(waiting):
            progress("objects", done, len(waiting))
        try:
            head = store.verify(digest)
        except ObjectDamaged as error:
            yield Finding(Code.OBJECT_DAMAGED, digest, error.what, needs.needed_by(digest) or "nothing")
            continue
        except ObjectMissing:
            continue  # collected since it was listed
        if digest in rows:
            yield from _record(rows[digest], head)


def _record(row: RecordRow, head: bytes) -> Iterator[Finding]:
    """A row that finds a record again names one that was made under its recipe for its group."""
    document = headers.header(head)
    if document is None:
        yield Finding(Code.RECORD_ROW, row.digest, "it names no record", "record row")
    elif (document.get("recipe"), document.get("group")) != (row.recipe, row.group_digest):
        message = "the record was made under another recipe or for another group"
        yield Finding(Code.RECORD_ROW, row.digest, message, "record row")
