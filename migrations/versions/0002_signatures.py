"""Signatures of commits and tags."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema here."""
    op.create_table(
        "signature",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("commit_id", sa.String(length=64), nullable=False),
        sa.Column("scheme", sa.String(length=20), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("signer", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commit.id"], name="fk_signature_commit_id_commit"),
        sa.PrimaryKeyConstraint("digest", name="pk_signature"),
    )
    op.create_index("ix_signature_commit_id", "signature", ["commit_id"], unique=False)


def downgrade() -> None:
    """Take the table away."""
    op.drop_table("signature")
