"""Verbs that look after what is stored: gc."""

from __future__ import annotations

import click

from kvault.cli.context import Session, json_option, pass_session
from kvault.render import storage as render


@click.command()
@click.option("--grace", default="", metavar="14d", help="How long nothing must have named an object; at least 2h.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be collected, with the bytes of each reason.")
@json_option
@pass_session
def gc(session: Session, grace: str, dry_run: bool) -> None:
    """Collect objects that nothing names: mark them now, take away those marked for longer than the grace."""
    view = session.vault().gc(grace=grace, dry_run=dry_run)
    session.emit(view.document(), lambda: render.collected(view))


COMMANDS = [gc]
