"""The run row: the truth about one piece of work, whatever the broker says."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Text
from sqlmodel import Field

from kvault.db import Base


class RunRow(Base, table=True):
    """One run: ``queued``, ``running``, then ``done``, ``failed`` or ``cancelled``."""

    __tablename__ = "run"
    id: str = Field(primary_key=True, max_length=64)
    kind: str = Field(max_length=40)
    branch: str = Field(default="", max_length=200, index=True)
    state: str = Field(max_length=20, index=True)
    params: dict[str, object] = Field(sa_column=Column(JSON, nullable=False))
    result: dict[str, object] | None = Field(default=None, sa_column=Column(JSON))
    error: dict[str, object] | None = Field(default=None, sa_column=Column(JSON))
    actor: str = Field(max_length=300)
    holder: str = Field(default="", max_length=300)
    fence: int = Field(default=0, sa_type=BigInteger)
    lease_until: int = Field(default=0, sa_type=BigInteger)
    attempts: int = 0
    stage: str = Field(default="", max_length=60)
    done: int = 0
    total: int = 0
    message: str = Field(default="", sa_type=Text)
    created_at: int = Field(sa_type=BigInteger, index=True)
    queued_at: int = Field(default=0, sa_type=BigInteger)
    sent_at: int = Field(default=0, sa_type=BigInteger)
    stage_at: int = Field(default=0, sa_type=BigInteger)
    started_at: int | None = Field(default=None, sa_type=BigInteger)
    finished_at: int | None = Field(default=None, sa_type=BigInteger)
