"""A verb killed at its n-th write: in a forked process that ends, without a word, right before the statement."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

from sqlalchemy import event

from kvault.vault import Vault

_WRITES = ("INSERT", "UPDATE", "DELETE")
KILLED, FAILED = 9, 7


def killed_at_every_write(
    vault: Vault, verb: Callable[[Vault], object], stride: int = 1, limit: int = 200
) -> Iterator[int]:
    """Run ``verb`` on the vault again and again, killed at every ``stride``-th write; stops after it came through.

    Between two yields the caller repairs and checks. The parent's own connections are never used by the child.
    """
    folder = vault.settings.folder.parent
    for number in range(1, limit, stride):
        vault.database.close()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _child(folder, verb, number)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in {0, KILLED}, f"the verb failed by itself at write {number}: status {status}"
        yield number
        if status == 0:
            return
    raise AssertionError(f"more than {limit} writes")


def _child(folder: os.PathLike[str], verb: Callable[[Vault], object], number: int) -> None:
    status = FAILED
    try:
        vault = Vault.open(folder).as_actor("tester")
        count = 0

        def look(_c: object, _k: object, statement: str, *_rest: object) -> None:
            nonlocal count
            if statement.lstrip().upper().startswith(_WRITES):
                count += 1
                if count == number:
                    os._exit(KILLED)

        event.listen(vault.database.engine, "before_cursor_execute", look)
        verb(vault)
        status = 0
    finally:
        os._exit(status)
