"""The first schema: ledger, history, checks, promotion and runs, and the start of the audit chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema here."""
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=300), nullable=False),
        sa.Column("verb", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    audit_head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("branch", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("intent", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_batch"),
    )
    op.create_index("ix_batch_branch", "batch", ["branch"], unique=False)
    op.create_index("ix_batch_digest", "batch", ["digest"], unique=False)
    op.create_index("ix_batch_state", "batch", ["state"], unique=False)
    op.create_index(
        "uq_batch_open_branch",
        "batch",
        ["branch"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )

    op.create_table(
        "evidence",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_evidence"),
    )
    op.create_table(
        "fact",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=500), nullable=False),
        sa.Column("relation", sa.String(length=100), nullable=False),
        sa.Column("scope", sa.String(length=1000), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fact"),
    )
    op.create_index("ix_fact_relation", "fact", ["relation"], unique=False)
    op.create_index("ix_fact_subject", "fact", ["subject"], unique=False)

    op.create_table(
        "lease",
        sa.Column("ref", sa.String(length=200), nullable=False),
        sa.Column("holder", sa.String(length=300), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ref", name="pk_lease"),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )
    op.create_table(
        "policy",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("alias", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_policy"),
    )
    op.create_index("ix_policy_alias", "policy", ["alias"], unique=False)

    op.create_table(
        "record",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("recipe", sa.String(length=64), nullable=False),
        sa.Column("group_digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_record"),
    )
    op.create_index("ix_record_recipe_group", "record", ["recipe", "group_digest"], unique=True)

    op.create_table(
        "reflog",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ref", sa.String(length=200), nullable=False),
        sa.Column("old", sa.String(length=64), nullable=True),
        sa.Column("new", sa.String(length=64), nullable=True),
        sa.Column("actor", sa.String(length=300), nullable=False),
        sa.Column("verb", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reflog"),
    )
    op.create_index("ix_reflog_ref", "reflog", ["ref"], unique=False)

    op.create_table(
        "relation",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("slug", sa.String(length=100), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_relation"),
    )
    op.create_index("ix_relation_slug", "relation", ["slug"], unique=False)

    op.create_table(
        "run",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("branch", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("actor", sa.String(length=300), nullable=False),
        sa.Column("holder", sa.String(length=300), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=60), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.Column("stage_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
    )
    op.create_index("ix_run_branch", "run", ["branch"], unique=False)
    op.create_index("ix_run_created_at", "run", ["created_at"], unique=False)
    op.create_index("ix_run_state", "run", ["state"], unique=False)

    op.create_table(
        "commit",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("tree", sa.String(length=64), nullable=False),
        sa.Column("ledger_root", sa.String(length=64), nullable=False),
        sa.Column("batch_id", sa.String(length=64), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(length=300), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("verb", sa.String(length=40), nullable=False),
        sa.Column("run", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name="fk_commit_batch_id_batch"),
        sa.PrimaryKeyConstraint("id", name="pk_commit"),
        sa.UniqueConstraint("run", name="uq_commit_run"),
    )
    op.create_index("ix_commit_batch_id", "commit", ["batch_id"], unique=False)
    op.create_index("ix_commit_created_at", "commit", ["created_at"], unique=False)
    op.create_index("ix_commit_tree", "commit", ["tree"], unique=False)

    op.create_table(
        "revision",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("fact_id", sa.String(length=64), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("relation_digest", sa.String(length=64), nullable=False),
        sa.Column("evidence_digest", sa.String(length=64), nullable=True),
        sa.Column("baseline", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["evidence_digest"], ["evidence.digest"], name="fk_revision_evidence_digest_evidence"),
        sa.ForeignKeyConstraint(["fact_id"], ["fact.id"], name="fk_revision_fact_id_fact"),
        sa.ForeignKeyConstraint(["relation_digest"], ["relation.digest"], name="fk_revision_relation_digest_relation"),
        sa.PrimaryKeyConstraint("digest", name="pk_revision"),
    )
    op.create_index("ix_revision_fact_id", "revision", ["fact_id"], unique=False)

    op.create_table(
        "change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("fact_id", sa.String(length=64), nullable=False),
        sa.Column("before", sa.String(length=64), nullable=True),
        sa.Column("after", sa.String(length=64), nullable=True),
        sa.Column("effective", sa.Date(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["after"], ["revision.digest"], name="fk_change_after_revision"),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name="fk_change_batch_id_batch"),
        sa.ForeignKeyConstraint(["before"], ["revision.digest"], name="fk_change_before_revision"),
        sa.ForeignKeyConstraint(["fact_id"], ["fact.id"], name="fk_change_fact_id_fact"),
        sa.PrimaryKeyConstraint("id", name="pk_change"),
    )
    op.create_index("ix_change_batch_position", "change", ["batch_id", "position"], unique=False)
    op.create_index("ix_change_fact_id", "change", ["fact_id"], unique=False)

    op.create_table(
        "commit_pack",
        sa.Column("commit_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commit.id"], name="fk_commit_pack_commit_id_commit"),
        sa.PrimaryKeyConstraint("commit_id", "kind", name="pk_commit_pack"),
    )
    op.create_index("ix_commit_pack_digest", "commit_pack", ["digest"], unique=False)

    op.create_table(
        "commit_parent",
        sa.Column("child", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("parent", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["child"], ["commit.id"], name="fk_commit_parent_child_commit"),
        sa.ForeignKeyConstraint(["parent"], ["commit.id"], name="fk_commit_parent_parent_commit"),
        sa.PrimaryKeyConstraint("child", "position", name="pk_commit_parent"),
    )
    op.create_index("ix_commit_parent_parent", "commit_parent", ["parent"], unique=False)

    op.create_table(
        "promotion",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("alias", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("old", sa.String(length=64), nullable=True),
        sa.Column("new", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.String(length=64), nullable=False),
        sa.Column("policy", sa.String(length=64), nullable=False),
        sa.Column("reports", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(length=300), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["new"], ["commit.id"], name="fk_promotion_new_commit"),
        sa.PrimaryKeyConstraint("id", name="pk_promotion"),
    )
    op.create_index("ix_promotion_alias", "promotion", ["alias"], unique=False)

    op.create_table(
        "ref",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("recipe", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["target"], ["commit.id"], name="fk_ref_target_commit"),
        sa.PrimaryKeyConstraint("name", name="pk_ref"),
    )
    op.create_table(
        "report",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("commit_id", sa.String(length=64), nullable=False),
        sa.Column("tree", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=64), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commit.id"], name="fk_report_commit_id_commit"),
        sa.PrimaryKeyConstraint("digest", name="pk_report"),
    )
    op.create_index("ix_report_commit_id", "report", ["commit_id"], unique=False)
    op.create_index("ix_report_created_at", "report", ["created_at"], unique=False)
    op.create_index("ix_report_suite", "report", ["suite"], unique=False)
    op.create_index("ix_report_tree", "report", ["tree"], unique=False)
    op.bulk_insert(audit_head, [{"id": 1, "seq": 0, "digest": "0" * 64}])


def downgrade() -> None:
    """Take every table away."""
    for table in (
        "report",
        "ref",
        "promotion",
        "commit_parent",
        "commit_pack",
        "change",
        "revision",
        "commit",
        "run",
        "relation",
        "reflog",
        "record",
        "policy",
        "meta",
        "lease",
        "fact",
        "evidence",
        "batch",
        "audit_head",
        "audit",
    ):
        op.drop_table(table)
