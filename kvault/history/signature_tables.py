"""The rows of signatures: detached statements about commits and tags that can be added without changing either."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text
from sqlmodel import Field

from kvault.db import Base


class SignatureRow(Base, table=True):
    """One signature; ``digest`` names its content, so signing twice with one key is one row."""

    __tablename__ = "signature"
    digest: str = Field(primary_key=True, max_length=64)
    kind: str = Field(max_length=20)
    """``commit`` or ``tag``."""
    name: str = Field(default="", max_length=200)
    """The tag's name; empty for a commit."""
    commit_id: str = Field(foreign_key="commit.id", index=True, max_length=64)
    scheme: str = Field(max_length=20)
    key: str = Field(sa_type=Text)
    """The public key as OpenSSH writes it: its type and its base64."""
    signature: str = Field(sa_type=Text)
    signer: str = Field(max_length=300)
    created_at: int = Field(sa_type=BigInteger)
