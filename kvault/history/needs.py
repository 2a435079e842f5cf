"""Which objects the commits need, and who needs each: the object graph below the commit graph.

Every object is walked once, however many commits share it. What cannot be read is noted and walked no further, so one
damaged object hides nothing beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from kvault.history.commits import CommitBody
from kvault.history.trees import Tree, decode_tree
from kvault.ids import CommitId, Digest, is_digest
from kvault.objects import fanout
from kvault.objects.failures import ObjectDamaged, ObjectMissing
from kvault.objects.store import Blobs, parse_document

_NAMED = 3


@dataclass(slots=True)
class Needs:
    """The objects that were reached so far.

    ``entries`` holds, by ledger or record map node, the entries of its leaves; ``bases`` the base of every tree.
    """

    store: Blobs
    users: dict[Digest, set[str]] = field(default_factory=lambda: defaultdict(set))
    unreadable: dict[Digest, str] = field(default_factory=dict)
    read: set[Digest] = field(default_factory=set)
    nodes: set[Digest] = field(default_factory=set)
    """The nodes of maps among what was read."""
    revisions: dict[tuple[str, str], Digest] = field(default_factory=dict)
    """Every (fact, revision) of any ledger, with the node that holds it."""
    trees: dict[Digest, Tree] = field(default_factory=dict)
    commits: set[CommitId] = field(default_factory=set)
    _walked: set[tuple[str, Digest]] = field(default_factory=set)

    def commit(self, name: CommitId, body: CommitBody) -> None:
        """Everything that a commit names, and everything below that."""
        self.commits.add(name)
        self.users[body.tree].add(name)
        self._tree(body.tree)
        self.users[body.ledger_root].add(name)
        self._map(body.ledger_root, "ledger", self._fact)
        for record in (*body.records_added, *body.records_removed):
            self.users[Digest(record)].add(name)
        for recipe in body.recipes:
            self.recipe(Digest(recipe), name)

    def recipe(self, digest: Digest, user: str) -> None:
        """A recipe that ``user`` names, and the statistics that it names."""
        self.users[digest].add(user)
        data = self._read("recipe", digest)
        if data is None:
            return
        try:
            statistics = parse_document(data, digest).get("statistics")
        except ObjectDamaged as error:
            self.unreadable[digest] = error.what
            return
        if isinstance(statistics, str) and is_digest(statistics):
            self.users[Digest(statistics)].add(digest)

    def extra(self, digest: Digest, user: str) -> None:
        """An object that something beside the commits' bodies names."""
        self.users[digest].add(user)

    def needed_by(self, digest: Digest) -> str:
        """The commits that need an object, as a short text; other users where no commit does."""
        pending, seen = [str(digest)], {str(digest)}
        while pending:
            for user in self.users.get(Digest(pending.pop()), ()):
                if user not in seen:
                    seen.add(user)
                    pending.append(user)
        found = {name for name in seen if name in self.commits} or {name for name in seen if not is_digest(name)}
        names = [f"commit {name[:12]}" if name in self.commits else name for name in sorted(found)]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more

    def _tree(self, digest: Digest) -> None:
        data = self._read("tree", digest)
        if data is None:
            return
        try:
            tree = decode_tree(data, digest)
        except ObjectDamaged as error:
            self.unreadable[digest] = error.what
            return
        self.trees[digest] = tree
        self.users[tree.records].add(digest)
        self._map(tree.records, "records", self._record)
        for recipe in tree.recipes:
            self.recipe(Digest(recipe), digest)

    def _map(self, root: Digest, kind: str, entry: Callable[[Digest, str, str], None]) -> None:
        pending = [root]
        while pending:
            digest = pending.pop()
            if (kind, digest) in self._walked:
                continue
            self._walked.add((kind, digest))
            try:
                node = fanout.read_node(self.store, digest)
            except ObjectMissing:
                continue
            except ObjectDamaged as error:
                self.unreadable[digest] = error.what
                continue
            self.read.add(digest)
            self.nodes.add(digest)
            for child in fanout.children(node):
                self.users[child].add(digest)
                pending.append(child)
            if isinstance(node, fanout.Leaf):
                for key, value in node.entries:
                    entry(digest, key, value)

    def _fact(self, node: Digest, fact: str, revision: str) -> None:
        self.revisions.setdefault((fact, revision), node)

    def _record(self, node: Digest, record: str, recipe: str) -> None:
        self.users[Digest(record)].add(node)
        self.recipe(Digest(recipe), node)

    def _read(self, kind: str, digest: Digest) -> bytes | None:
        """The bytes of an object that is met for the first time as a ``kind``, or None."""
        if (kind, digest) in self._walked or not is_digest(digest):
            return None
        self._walked.add((kind, digest))
        try:
            data = self.store.get(digest)
        except ObjectMissing:
            return None
        except ObjectDamaged as error:
            self.unreadable[digest] = error.what
            return None
        self.read.add(digest)
        return data
