"""The rows of promotion: an alias's policy, and every move that it made."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Text
from sqlmodel import Field

from kvault.db import Base


class PolicyRow(Base, table=True):
    """The rule of an alias; the newest row of an alias is in force."""

    __tablename__ = "policy"
    id: int | None = Field(default=None, primary_key=True)
    alias: str = Field(index=True, max_length=200)
    digest: str = Field(max_length=64)
    body: str = Field(sa_type=Text)
    actor: str = Field(max_length=300)
    created_at: int = Field(sa_type=BigInteger)


class PromotionRow(Base, table=True):
    """One move of an alias, with the plan that named it exactly."""

    __tablename__ = "promotion"
    id: int | None = Field(default=None, primary_key=True)
    alias: str = Field(index=True, max_length=200)
    kind: str = Field(max_length=20)
    old: str | None = Field(default=None, max_length=64)
    new: str = Field(foreign_key="commit.id", max_length=64)
    plan: str = Field(max_length=64)
    policy: str = Field(max_length=64)
    reports: list[str] = Field(sa_column=Column(JSON, nullable=False))
    actor: str = Field(max_length=300)
    reason: str = Field(default="", sa_type=Text)
    at: int = Field(sa_type=BigInteger)
