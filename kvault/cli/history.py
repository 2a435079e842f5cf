"""Verbs of history: commit, log, show, diff, branch, switch, tag, reflog."""

from __future__ import annotations

from datetime import datetime

import click

from kvault.cli.context import Progress, Session, json_option, pass_session
from kvault.cli.ledger import DATE, day
from kvault.render import views as render

EDITORS = ["alphaedit", "betaedit", "memit", "gated", "memoir"]


@click.command()
@click.option("-m", "--message", required=True, help="What this commit is for.")
@click.option(
    "--editor", type=click.Choice(EDITORS), help="How the changes enter the model; the branch's own by default."
)
@click.option("--valid-at", type=DATE, help="Take the staged changes that hold by this day; today by default.")
@click.option("--allow-empty", is_flag=True, help="Commit even when nothing is due.")
@click.option("--detach", is_flag=True, help="Queue the run for a worker and return its id.")
@json_option
@pass_session
def commit(
    session: Session, message: str, editor: str | None, valid_at: datetime | None, allow_empty: bool, detach: bool
) -> None:
    """Seal the staged changes and make them a new version of the model."""
    vault = session.vault()
    if detach:
        run = vault.queue_commit(message, editor=editor, valid_at=day(valid_at), allow_empty=allow_empty)
        session.emit(run.document(), f"Queued run {run.id}. Follow it with: kvault runs show {run.id[:12]}")
        return
    made = vault.commit(message, editor=editor, valid_at=day(valid_at), allow_empty=allow_empty, progress=Progress())
    session.emit(made.document(), lambda: render.committed(made))


@click.command()
@click.argument("revision", default="HEAD")
@click.option("-n", "--max-count", type=click.IntRange(1), help="Show at most this many.")
@click.option("--oneline", is_flag=True, help="One line a commit.")
@click.option("--graph", is_flag=True, help="Draw the commits' graph.")
@click.option("--all", "all_refs", is_flag=True, help="Start from every ref.")
@json_option
@pass_session
def log(session: Session, revision: str, max_count: int | None, oneline: bool, graph: bool, all_refs: bool) -> None:
    """List the commits that lead to REVISION, newest first."""
    rows = session.vault().log(revision, limit=max_count, all_refs=all_refs)
    session.emit([row.document() for row in rows], lambda: render.log(rows, oneline=oneline, graph=graph))


@click.command()
@click.argument("revision", default="HEAD")
@json_option
@pass_session
def show(session: Session, revision: str) -> None:
    """Show one commit: its facts, its records and its weights' change."""
    found = session.vault().show(revision)
    session.emit(found.document(), lambda: render.shown(found))


@click.command()
@click.argument("revisions")
@click.argument("second", default="")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when the versions differ.")
@json_option
@pass_session
def diff(session: Session, revisions: str, second: str, exit_code: bool) -> None:
    """Compare the ledgers of two versions: A..B, or A B."""
    found = session.vault().diff(f"{revisions}..{second}" if second else revisions)
    session.emit(found.document(), lambda: render.difference(found))
    if exit_code and found.rows:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("name", default="")
@click.argument("start", default="HEAD")
@click.option("-d", "--delete", is_flag=True, help="Delete the branch.")
@json_option
@pass_session
def branch(session: Session, name: str, start: str, delete: bool) -> None:
    """List branches, or make branch NAME at START."""
    vault = session.vault()
    if not name:
        rows = vault.refs()
        session.emit([row.document() for row in rows], lambda: render.refs(rows))
    elif delete:
        vault.delete_branch(name)
        session.emit({"deleted": name}, f"Deleted branch {name}.")
    else:
        made = vault.branch(name, start)
        session.emit(made.document(), f"Branch {name} is at {made.target[:12]}.")


@click.command()
@click.argument("name")
@click.option("-c", "--create", is_flag=True, help="Make the branch first.")
@json_option
@pass_session
def switch(session: Session, name: str, create: bool) -> None:
    """Make NAME the current branch."""
    vault = session.vault()
    if create:
        vault.branch(name, "HEAD")
    vault.switch(name)
    session.emit({"head": name}, f"On branch {name}.")


@click.command()
@click.argument("name", default="")
@click.argument("revision", default="HEAD")
@json_option
@pass_session
def tag(session: Session, name: str, revision: str) -> None:
    """List tags, or name REVISION."""
    vault = session.vault()
    if not name:
        rows = [row for row in vault.refs() if row.kind == "tag"]
        session.emit([row.document() for row in rows], lambda: render.refs(rows))
        return
    made = vault.tag(name, revision)
    session.emit(made.document(), f"Tag {name} is at {made.target[:12]}.")


@click.command()
@click.argument("ref", default="HEAD")
@click.option("-n", "--max-count", type=click.IntRange(1), default=30, show_default=True)
@json_option
@pass_session
def reflog(session: Session, ref: str, max_count: int) -> None:
    """List the moves of a ref, newest first."""
    rows = session.vault().reflog(ref, limit=max_count)
    session.emit([row.document() for row in rows], lambda: render.reflog(rows))


COMMANDS = [commit, log, show, diff, branch, switch, tag, reflog]
