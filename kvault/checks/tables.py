"""The rows of checks: a report is one evaluation of a commit's tree by a suite."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlmodel import Field

from kvault.db import Base


class ReportRow(Base, table=True):
    """One report; its body, down to the question, is an object by this digest."""

    __tablename__ = "report"
    digest: str = Field(primary_key=True, max_length=64)
    commit_id: str = Field(foreign_key="commit.id", index=True, max_length=64)
    tree: str = Field(index=True, max_length=64)
    suite: str = Field(index=True, max_length=64)
    verdict: str = Field(max_length=20)
    created_at: int = Field(sa_type=BigInteger, index=True)
