"""Reading very many rows as the driver's own tuples. On both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, select
from sqlalchemy.exc import DatabaseError

from kvault.db import Database, plain_rows
from kvault.errors import KvaultError
from kvault.history.tables import AuditHeadRow


def test_rows_are_those_of_the_transaction(database: Database) -> None:
    table: Table = AuditHeadRow.__table__  # type: ignore[attr-defined]
    with database.reading() as session:
        assert plain_rows(session, select(table.c.id, table.c.seq)) == [(1, 0)]
        session.connection().execute(table.update().values(seq=7))
        assert plain_rows(session, select(table.c.seq)) == [(7,)]


def test_a_failure_is_the_databases_own_and_names_the_statement(database: Database) -> None:
    missing = Table("nowhere", MetaData(), Column("id", Integer))
    with pytest.raises((DatabaseError, KvaultError), match="nowhere"), database.reading() as session:
        plain_rows(session, select(missing))
