"""The rows of merging, picking and rebasing: what is in progress on a branch, and what was to be decided."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, Text, text
from sqlmodel import Field

from kvault.db import Base


class OperationRow(Base, table=True):
    """One merge, cherry-pick or rebase: ``open``, then ``done`` or ``aborted``; at most one open a branch."""

    __tablename__ = "operation"
    id: str = Field(primary_key=True, max_length=64)
    branch: str = Field(index=True, max_length=200)
    kind: str = Field(max_length=20)
    state: str = Field(index=True, max_length=20)
    head: str = Field(foreign_key="commit.id", max_length=64)
    """Where the branch stood when it began."""
    theirs: str | None = Field(default=None, foreign_key="commit.id", max_length=64)
    """The other side of a merge."""
    result: str | None = Field(default=None, foreign_key="commit.id", max_length=64)
    """The last commit that it made."""
    actor: str = Field(max_length=300)
    message: str = Field(default="", sa_type=Text)
    detail: dict[str, object] = Field(sa_column=Column(JSON, nullable=False))
    """Its options and, for several commits, which are done and which are to come."""
    created_at: int = Field(sa_type=BigInteger)
    ended_at: int | None = Field(default=None, sa_type=BigInteger)
    __table_args__ = (
        Index(
            "uq_operation_open_branch",
            "branch",
            unique=True,
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
    )


class ConflictRow(Base, table=True):
    """One conflict or warning of an operation; a conflict is decided once ``choice`` is set."""

    __tablename__ = "conflict"
    id: int | None = Field(default=None, primary_key=True)
    operation_id: str = Field(foreign_key="operation.id", index=True, max_length=64)
    step: int
    """Of an operation over several commits, the number of the one that met it."""
    kind: str = Field(max_length=20)
    fact_id: str | None = Field(default=None, foreign_key="fact.id", max_length=64)
    other_fact: str | None = Field(default=None, foreign_key="fact.id", max_length=64)
    """Ours, where two facts meet; ``fact_id`` is theirs then."""
    base: str | None = Field(default=None, foreign_key="revision.digest", max_length=64)
    ours: str | None = Field(default=None, foreign_key="revision.digest", max_length=64)
    theirs: str | None = Field(default=None, foreign_key="revision.digest", max_length=64)
    choice: str = Field(default="", max_length=20)
    result: str | None = Field(default=None, foreign_key="revision.digest", max_length=64)
    """The revision that was decided for; None is absence."""
    note: str = Field(default="", sa_type=Text)
    actor: str = Field(default="", max_length=300)
    decided_at: int | None = Field(default=None, sa_type=BigInteger)
