"""Remarks about commits, searches for a first bad commit, and further folders on one vault."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema here."""
    op.create_table(
        "bisect",
        sa.Column("branch", sa.String(length=200), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("branch", name="pk_bisect"),
    )
    op.create_table(
        "note",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("commit_id", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commit.id"], name="fk_note_commit_id_commit", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_note"),
    )
    op.create_index("ix_note_commit_id", "note", ["commit_id"], unique=False)
    op.create_table(
        "worktree",
        sa.Column("path", sa.String(length=1000), nullable=False),
        sa.Column("branch", sa.String(length=200), nullable=False),
        sa.Column("actor", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_worktree"),
        sa.UniqueConstraint("branch", name="uq_worktree_branch"),
    )


def downgrade() -> None:
    """Take the tables away."""
    for table in ("worktree", "note", "bisect"):
        op.drop_table(table)
