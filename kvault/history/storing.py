"""The rows of storage: objects that are to be collected, and other vaults that this one exchanges history with."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text
from sqlmodel import Field

from kvault.db import Base


class GarbageRow(Base, table=True):
    """An object that nothing named when it was looked at; it is taken away once that has been so for long enough."""

    __tablename__ = "garbage"
    digest: str = Field(primary_key=True, max_length=64)
    bytes: int = Field(sa_type=BigInteger)
    marked_at: int = Field(sa_type=BigInteger)


class RemoteRow(Base, table=True):
    """Another vault, or a bundle, by the name that this vault gives it."""

    __tablename__ = "remote"
    name: str = Field(primary_key=True, max_length=100)
    url: str = Field(sa_type=Text)
    actor: str = Field(max_length=300)
    created_at: int = Field(sa_type=BigInteger)
