"""The move of an alias: a plan that names it exactly, and the transaction that does it.

A plan is (alias, from, to, policy digest, report digests); its digest is what the gate of a protected ref asks for.
Services take a session and never commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlmodel import Session, col, select

from kvault.checks.tables import ReportRow
from kvault.errors import Conflict, GateRefused, NotFound
from kvault.history import audit, refs
from kvault.ids import Canonical, CommitId, Digest, digest_of
from kvault.promotion.policy import DEFAULT, Policy, parse
from kvault.promotion.tables import PolicyRow, PromotionRow

DEFAULT_ALIAS = "production"


class MoveKind(StrEnum):
    """Why an alias moves."""

    PROMOTION = "promotion"
    ROLLBACK = "rollback"


class PolicyNotMet(GateRefused):
    """A report does not pass the alias's policy."""

    code = "policy-not-met"


class NoAlias(Conflict):
    """The name is a branch's or a tag's, or one that only an alias may have."""

    code = "no-alias"


class PlanStale(Conflict):
    """Something that the plan names exactly is no longer so."""

    code = "plan-stale"


class NothingToRollBack(NotFound):
    """The alias has pointed nowhere else."""

    code = "nothing-to-roll-back"


@dataclass(frozen=True, slots=True)
class MovePlan:
    """The exact move of an alias."""

    alias: str
    kind: MoveKind
    old: CommitId | None
    new: CommitId
    policy: Digest
    reports: tuple[Digest, ...]

    @property
    def digest(self) -> Digest:
        """The plan's name."""
        return digest_of(
            {
                "alias": self.alias,
                "kind": self.kind.value,
                "from": self.old,
                "to": self.new,
                "policy": self.policy,
                "reports": sorted(self.reports),
            }
        )


def find_alias(session: Session, name: str) -> refs.Ref | None:
    """The alias of that name, or None where it was never promoted to.

    Raises :class:`NoAlias` for the name of a branch or tag, which no promotion moves.
    """
    found = refs.find(session, refs.check_name(name))
    if found is not None and found.kind is not refs.RefKind.ALIAS:
        raise NoAlias(
            f"{name} is a {found.kind.value}, and only an alias has a policy and moves by a promotion",
            name=name,
            remedy=f"Name an alias: {', '.join(sorted(_aliases(session)))}, or a new name.",
        )
    return found


def refuse_alias_name(session: Session, name: str) -> None:
    """Raise :class:`NoAlias` where a branch or tag would take the name of an alias, promoted to yet or not."""
    if name in _aliases(session):
        raise NoAlias(
            f"{name} is an alias's name", name=name, remedy="Choose another; `kvault promote --to ALIAS` moves aliases."
        )


def _aliases(session: Session) -> set[str]:
    """The names that aliases have: the default one, those with a policy, and those that were promoted to."""
    held = {ref.name for ref in refs.refs(session, refs.RefKind.ALIAS)}
    return {DEFAULT_ALIAS, *held, *session.exec(select(PolicyRow.alias).distinct())}


def policy_of(session: Session, alias: str) -> Policy:
    """The policy in force for an alias; the default where none was set."""
    query = select(PolicyRow).where(PolicyRow.alias == alias).order_by(col(PolicyRow.id).desc()).limit(1)
    row = session.exec(query).first()
    return parse(row.body if row else DEFAULT, alias)


def restricted_relations(session: Session) -> frozenset[str]:
    """The relations that any alias's policy restricts."""
    aliases = {DEFAULT_ALIAS, *session.exec(select(PolicyRow.alias).distinct())}
    return frozenset(slug for alias in aliases for slug in policy_of(session, alias).restricted)


def set_policy(session: Session, alias: str, policy: Policy, actor: str, now: int) -> None:
    """Put a policy in force; a promotion of the same alias that is under way waits, or finds its plan stale."""
    if find_alias(session, alias) is not None:
        refs.lock(session, alias)
    session.add(PolicyRow(alias=alias, digest=policy.digest, body=policy.text, actor=actor, created_at=now))
    audit.append(session, actor=actor, verb="policy.set", subject=alias, detail={"policy": policy.digest}, at=now)


def move_alias(session: Session, plan: MovePlan, actor: str, reason: str, now: int) -> None:
    """Do the planned move: compare-and-swap of the alias, its promotion row and its audit row, all or none.

    Raises :class:`PlanStale` where the alias, its policy or the reports are not what the plan names.
    """
    ref = find_alias(session, plan.alias)
    if ref is not None:
        ref = refs.lock(session, plan.alias)
    _refuse_stale(session, plan, ref)
    gate = refs.Gate(plan.alias, plan.old, plan.new, plan.digest)
    move = refs.Move(actor, plan.kind.value, now, reason)
    if ref is None:
        refs.create(session, plan.alias, refs.RefKind.ALIAS, plan.new, move, gate=gate)
    else:
        refs.move_to(session, ref, plan.new, move, gate=gate)
    session.add(
        PromotionRow(
            alias=plan.alias,
            kind=plan.kind.value,
            old=plan.old,
            new=plan.new,
            plan=plan.digest,
            policy=plan.policy,
            reports=[str(report) for report in plan.reports],
            actor=actor,
            reason=reason,
            at=now,
        )
    )
    session.flush()
    detail: dict[str, Canonical] = {
        "old": plan.old,
        "new": plan.new,
        "plan": plan.digest,
        "policy": plan.policy,
        "reports": [str(report) for report in plan.reports],
        "reason": reason,
    }
    audit.append(session, actor=actor, verb=plan.kind.value, subject=plan.alias, detail=detail, at=now)


def _refuse_stale(session: Session, plan: MovePlan, ref: refs.Ref | None) -> None:
    """Raise where anything that the plan names is no longer so."""
    if policy_of(session, plan.alias).digest != plan.policy:
        raise PlanStale("the policy changed since the plan was made", alias=plan.alias, remedy="Promote again.")
    stands = None if ref is None else ref.target
    if stands != plan.old:
        raise PlanStale(
            "the alias moved since the plan was made",
            alias=plan.alias,
            expected=(plan.old or "nothing")[:12],
            stands=(stands or "nothing")[:12],
            remedy="Promote again.",
        )
    if stands == plan.new:
        raise Conflict("the alias points to this version already", alias=plan.alias, remedy="There is nothing to do.")
    if not plan.reports:
        raise PlanStale("the plan stands on no report", alias=plan.alias, remedy="Run `kvault check`, then promote.")
    query = select(ReportRow.digest).where(ReportRow.commit_id == plan.new, col(ReportRow.digest).in_(plan.reports))
    known: list[str] = list(session.exec(query))
    missing = [report for report in plan.reports if report not in known]
    if missing:
        raise PlanStale(
            "a report of the plan is not one of this version",
            report=min(missing)[:12],
            commit=plan.new[:12],
            remedy="Run `kvault check`, then promote.",
        )


def former_target(session: Session, alias: str) -> tuple[CommitId, CommitId, Sequence[Digest]]:
    """Where the alias is, where it was before that, and the reports that move stood on.

    A rollback steps back over earlier rollbacks, so that repeating it walks further back. Raises
    :class:`NothingToRollBack`.
    """
    ref = find_alias(session, alias)
    if ref is None:
        raise NothingToRollBack(
            "the alias points to no version", alias=alias, remedy="Promote one first: `kvault promote`."
        )
    trail: list[PromotionRow] = []
    for row in session.exec(select(PromotionRow).where(PromotionRow.alias == alias).order_by(col(PromotionRow.id))):
        if row.kind == MoveKind.ROLLBACK and trail:
            trail.pop()
        else:
            trail.append(row)
    if len(trail) < 2:
        raise NothingToRollBack(
            "the alias has pointed to no other version", alias=alias, remedy="There is nothing to roll back to."
        )
    former = trail[-2]
    return ref.target, CommitId(former.new), [Digest(report) for report in former.reports]
