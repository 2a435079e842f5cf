"""The migrations, by Alembic. Loaded only to change a schema or to explain one that does not fit."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def migrations_folder() -> Path:
    """Where the migration scripts lie: beside the package in a checkout, inside it in a wheel."""
    inside = Path(__file__).parent / "migrations"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "migrations"


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration without a file, bound to ``connection`` where one is given."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the schema of ``connection`` up to ``revision``; the caller commits."""
    command.upgrade(alembic_config(connection), revision)


def is_known(revision: str) -> bool:
    """Whether these scripts hold a revision of that name."""
    scripts = ScriptDirectory.from_config(alembic_config())
    return revision in {script.revision for script in scripts.walk_revisions()}
