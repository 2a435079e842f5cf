"""Kills a verb at each of its writes, and looks whether the vault is whole and the verb can be run again.

A *write* is a commit of a database, or a rename, replacement or removal of a file. For N = 1, 2, … a fresh copy of a
world is made, and a forked process runs the verb in it and ends at once, as if its power were cut, right before write
N. Then ``sound`` looks at what is left, a further process runs the verb to its end, and ``sound`` looks again. It is
over when the verb ends before it was killed.

Any verb can be put through it: ``prepare`` copies a world into a folder, ``verb`` and ``sound`` open what they need
there. The parent holds no connection to a copy. A verb that needs a model should keep torch at one thread, because
threads do not survive a fork.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Engine, event

from tests import services

DIED = 77
LIMIT = 2000
_FILES = ("rename", "replace", "unlink")


def killed_everywhere(
    prepare: Callable[[Path], None],
    verb: Callable[[Path], object],
    sound: Callable[[Path], None],
    folder: Path,
    only: Collection[int] | None = None,
) -> int:
    """Kill ``verb`` before each of its writes, or those of ``only``; how many writes it does."""
    for number in range(1, LIMIT):
        if only is not None and number not in only and number < max(only):
            continue
        copy = folder / f"killed at {number}"
        copy.mkdir()
        prepare(copy)
        status = _forked(lambda copy=copy, number=number: _dying(lambda: verb(copy), number))  # type: ignore[misc]
        assert status in (0, DIED), f"write {number}: the verb failed by itself"
        assert _forked(lambda copy=copy: sound(copy)) == 0, f"after write {number}: not sound"  # type: ignore[misc]
        if status == 0:
            return number - 1
        assert _forked(lambda copy=copy: verb(copy)) == 0, f"after write {number}: the verb cannot be run again"  # type: ignore[misc]
        assert _forked(lambda copy=copy: sound(copy)) == 0, f"after write {number} and the verb: not sound"  # type: ignore[misc]
        if only is not None and number >= max(only):
            return number
    raise AssertionError(f"the verb does more than {LIMIT} writes")


@contextmanager
def copies_of(server: str, template: str) -> Iterator[Callable[[], str]]:
    """Makes copies of the PostgreSQL database ``template``, to which nobody is connected; dropped at the end."""
    made: list[str] = []
    source = template.rpartition("/")[2].partition("?")[0]

    def copy() -> str:
        name = f"{source}_{len(made)}"
        made.append(name)
        _run(server, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source)))
        return services.on_database(server, name)

    try:
        yield copy
    finally:
        for name in made:
            _run(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _run(server: str, statement: sql.Composable) -> None:
    with psycopg.connect(server, autocommit=True, connect_timeout=10) as connection:
        connection.execute(statement)


def _dying(work: Callable[[], object], number: int) -> None:
    """Run ``work`` in this process, which ends right before its ``number``-th write."""
    writes = 0

    def count(*_arguments: object) -> None:
        nonlocal writes
        writes += 1
        if writes == number:
            os._exit(DIED)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            count()
            return real(*arguments, **options)

        return call

    event.listen(Engine, "commit", count)
    for name in _FILES:
        setattr(os, name, counted(getattr(os, name)))
    work()


def _forked(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked process; 0, :data:`DIED`, or 1 where it raised."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
