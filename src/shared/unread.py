"""What of the table this version cannot read: a newer one wrote it, as before a rollback, or it is damaged."""

from collections.abc import Mapping, Sequence

from shared.evidence import Memory
from shared.facts import BucketKey, Condition, State
from shared.quoting import plain

NAMED = 5


def conditions(memories: Mapping[BucketKey, Memory]) -> tuple[Condition, ...]:
    """One trouble, however many items it befell; none if all is readable."""
    found = keys(memories)
    if not found:
        return ()
    meaning = f"{listed(found)}: written by a newer version, or damaged, so that this one cannot read it"
    mend = "deploy the version that wrote it, or a newer one; guardrail status names all of it"
    return (Condition(about="table", state=State.BAD, problem="table-unread", meaning=meaning, mend=mend),)


def keys(memories: Mapping[BucketKey, Memory]) -> list[str]:
    """Their sort keys."""
    return sorted(sk for memory in memories.values() for sk in memory.unread)


def listed(found: Sequence[str], limit: int = NAMED) -> str:
    """By their sort keys, as a person calls them."""
    more = [f"{len(found) - limit} more"] * (len(found) > limit)
    return ", ".join([*map(_named, found[:limit]), *more])


def _named(sk: str) -> str:
    """A finding, or what was known of the bucket itself."""
    _, _, name, control = (*sk.split("#", 4), "", "", "", "")[:4]
    return f"{plain(control) or 'the last verdict'} of {plain(name) or 'root'}"
