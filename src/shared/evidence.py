"""All that was known when the controls were evaluated, and what a control is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.facts import Gone, Last, Outcome, Reading, Trigger, Verdict, Watched
from shared.finding import Finding, Severity

WORD_OF_AN_EVENT = timedelta(days=1)
"""An older event (replayed from an archive, or very late) opens nothing on its own word: the live read decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the user may set of the life cycle (parameters of template.yaml)."""

    longest_exemption: timedelta = timedelta(days=90)
    window: timedelta = timedelta(hours=1)
    threshold: int = 10
    root_key_grace: timedelta = timedelta(hours=1)
    deploy_principals: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the table knows of one bucket. `rev` counts its commits: a commit names the one it read (0: none yet).

    `watched` is known of the guardrail itself only, where it stands for `last`. `unread`: sort keys of what this
    version cannot read: a newer one wrote it, or it is damaged; `hides_last`: the last verdict is among it.
    """

    rev: int = 0
    last: Last | None = None
    watched: Watched | None = None
    findings: tuple[Finding, ...] = ()
    unread: tuple[str, ...] = ()
    hides_last: bool = False

    @property
    def judged(self) -> bool:
        """Whether this bucket was judged before, or has an open finding about its state (a deed has a window)."""
        return self.last is not None or self.hides_last or any(f.is_open and not f.is_deed for f in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What is known of a bucket after a look: what is remembered of it now, and what was read (None: nothing)."""

    memory: Memory
    reading: Reading | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The event says who and when, the live read what is true now, the memory what we last knew."""

    now: datetime
    trigger: Trigger
    reading: Reading
    verdict: Verdict | None
    memory: Memory
    rules: Rules = field(default_factory=Rules)

    @property
    def remade(self) -> bool:
        """There is a bucket, but it was deleted since we knew it: it is a new one of the same name."""
        last, trigger = self.memory.last, self.trigger
        if last is None or isinstance(self.reading, Gone):
            return False
        deleted = trigger.event_name == "DeleteBucket" and trigger.outcome is Outcome.DONE and self.is_recent
        return last.gone or (deleted and last.first_seen <= trigger.at)

    @property
    def is_recent(self) -> bool:
        """Whether the trigger is young enough to be taken at its word."""
        return self.now - self.trigger.at <= WORD_OF_AN_EVENT

    @property
    def last(self) -> Last | None:
        """The verdict we last stored; None if the bucket was never seen, or is a new one of a deleted one's name."""
        return None if self.remade else self.memory.last

    @property
    def enrolled(self) -> bool:
        """It has a verdict, or had one until it was deleted."""
        return self.verdict is not None or (isinstance(self.reading, Gone) and self.memory.judged)


type Predicate = Callable[[Evidence], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One thing we hold true. `clears` is None for a deed: what was done cannot be undone.

    `severity` may depend on the evidence. `done_by` says whether the trigger's principal did it, so that nobody is
    blamed for an event that only woke us. `runbook` is a heading of runbook/RUNBOOK.md. `grace`: how long it may hold
    before somebody is told; None: it is never told by itself, only beside another finding.
    """

    id: str
    title: str
    severity: Callable[[Evidence], Severity]
    holds: Predicate
    clears: Predicate | None
    done_by: Predicate
    runbook: str
    refs: tuple[str, ...]
    source: str
    grace: Callable[[Rules], timedelta | None] = lambda _rules: timedelta()
