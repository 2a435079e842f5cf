"""Operations in progress and their conflicts.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "operation",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("branch", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("head", sa.String(length=64), nullable=False),
        sa.Column("theirs", sa.String(length=64), nullable=True),
        sa.Column("result", sa.String(length=64), nullable=True),
        sa.Column("actor", sa.String(length=300), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["head"], ["commit.id"], name="fk_operation_head_commit"),
        sa.ForeignKeyConstraint(["theirs"], ["commit.id"], name="fk_operation_theirs_commit"),
        sa.ForeignKeyConstraint(["result"], ["commit.id"], name="fk_operation_result_commit"),
        sa.PrimaryKeyConstraint("id", name="pk_operation"),
    )
    op.create_index("ix_operation_branch", "operation", ["branch"], unique=False)
    op.create_index("ix_operation_state", "operation", ["state"], unique=False)
    op.create_index(
        "uq_operation_open_branch",
        "operation",
        ["branch"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    revisions = ("base", "ours", "theirs", "result")
    op.create_table(
        "conflict",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("operation_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("fact_id", sa.String(length=64), nullable=True),
        sa.Column("other_fact", sa.String(length=64), nullable=True),
        sa.Column("base", sa.String(length=64), nullable=True),
        sa.Column("ours", sa.String(length=64), nullable=True),
        sa.Column("theirs", sa.String(length=64), nullable=True),
        sa.Column("choice", sa.String(length=20), nullable=False),
        sa.Column("result", sa.String(length=64), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=300), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["operation_id"], ["operation.id"], name="fk_conflict_operation_id_operation"),
        sa.ForeignKeyConstraint(["fact_id"], ["fact.id"], name="fk_conflict_fact_id_fact"),
        sa.ForeignKeyConstraint(["other_fact"], ["fact.id"], name="fk_conflict_other_fact_fact"),
        *(
            sa.ForeignKeyConstraint([name], ["revision.digest"], name=f"fk_conflict_{name}_revision")
            for name in revisions
        ),
        sa.PrimaryKeyConstraint("id", name="pk_conflict"),
    )
    op.create_index("ix_conflict_operation_id", "conflict", ["operation_id"], unique=False)


def downgrade() -> None:
    """Take them away."""
    op.drop_table("conflict")
    op.drop_table("operation")
