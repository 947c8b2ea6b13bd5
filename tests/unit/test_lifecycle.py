"""The rules on time: random histories of a bucket, seen through late, doubled, lost and reordered events and sweeps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from shared import lifecycle, verdict
from shared.controls import PROTECTION
from shared.evidence import Evidence, Memory
from shared.facts import (
    BucketKey,
    BucketState,
    MfaDelete,
    Outcome,
    Principal,
    Trigger,
    TriggerKind,
    Unreadable,
    Verdict,
    Versioning,
)
from shared.finding import TELLS, Change, Status

BUCKET = BucketKey(account="111122223333", region="us-east-1", name="vault")
ROOT = Principal(kind="Root", id="arn:aws:iam::111122223333:root")
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """A bucket, its CloudTrail, and a guardrail that sees both imperfectly."""

    on: bool
    now: datetime = START
    readable: bool = True
    pending: list[Trigger] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    known: set[str] = field(default_factory=set)
    told: list[tuple[str, Change]] = field(default_factory=list)
    offs: int = 0
    underway: Evidence | None = None

    def root_sets(self, *, on: bool) -> None:
        """Root's successful call."""
        self.offs += self.on and not on
        self.on = on
        self.pending.append(
            Trigger(
                kind=TriggerKind.BUCKET_CHANGE,
                at=self.now,
                bucket=BUCKET,
                event_ids=(f"event-{len(self.pending)}-{self.now.isoformat()}",),
                event_name="PutBucketVersioning",
                principal=ROOT,
                outcome=Outcome.DONE,
                asked_status=Versioning.ENABLED,
                asked_mfa_delete=MfaDelete.ENABLED if on else MfaDelete.DISABLED,
            )
        )

    def deliver(self, which: int, *, keep: bool) -> None:
        """An event arrives: any of those underway, perhaps to arrive again."""
        if self.pending:
            index = which % len(self.pending)
            self.look(self.pending[index] if keep else self.pending.pop(index))

    def sweep(self) -> None:
        """The tick."""
        self.look(Trigger(kind=TriggerKind.SWEEP, at=self.now, bucket=BUCKET))

    def look(self, trigger: Trigger) -> None:
        """Look and settle at once."""
        self.commit(self.read(trigger))

    def begin(self) -> None:
        """A sweep reads, and is slow to write."""
        self.underway = self.read(Trigger(kind=TriggerKind.SWEEP, at=self.now, bucket=BUCKET))

    def end(self) -> None:
        """The slow sweep writes."""
        if self.underway:
            self.commit(self.underway)
            self.underway = None

    def read(self, trigger: Trigger) -> Evidence:
        """Remember, then read, as guardrail.py does."""
        state = BucketState(
            tagged=True,
            versioning=Versioning.ENABLED,
            mfa_delete=MfaDelete.ENABLED if self.on else MfaDelete.DISABLED,
        )
        refused = Unreadable(tagged=True, action="s3:GetBucketVersioning", error_code="AccessDenied", error_message="")
        reading = state if self.readable else refused
        judged = verdict.of(reading, judged_before=self.memory.judged, now=self.now, longest=timedelta(days=90))
        return Evidence(now=self.now, trigger=trigger, reading=reading, verdict=judged, memory=self.memory)

    def commit(self, evidence: Evidence) -> None:
        """Write, or look again if somebody wrote since; known events change nothing."""
        ids = set(evidence.trigger.event_ids)
        plan = lifecycle.plan(evidence)
        if ids & self.known or not (plan.changes or (ids and evidence.enrolled)):
            return
        if evidence.memory.rev != self.memory.rev:
            self.look(evidence.trigger)
            return
        self.known |= ids
        changed = {t.finding.id: t.finding for t in plan.transitions}
        kept = tuple(f for f in self.memory.findings if f.id not in changed)
        self.memory = Memory(rev=self.memory.rev + 1, last=plan.last, findings=(*kept, *changed.values()))
        self.told += [(t.finding.control, t.change) for t in plan.transitions if t.change in TELLS]
        self.check()

    def check(self) -> None:
        """What must hold after every step."""
        open_now = [f.control for f in self.memory.findings if f.is_open]
        assert len([control for control in open_now if control in PROTECTION]) <= 1
        assert len(open_now) == len(set(open_now))

    # C901: one case for each kind of step
    def live(self, history: Sequence[tuple[object, ...]], *, refusals: bool, losses: bool) -> None:  # noqa: C901  # see above
        """Live through a history, one case a step, and come to rest."""
        for step in history:
            self.now += timedelta(minutes=1)
            match step:
                case ("off",):
                    self.root_sets(on=False)
                case ("on",):
                    self.root_sets(on=True)
                case ("sweep",):
                    self.sweep()
                case ("begin",):
                    self.begin()
                case ("end",):
                    self.end()
                case ("readable", bool(readable)) if refusals:
                    self.readable = readable
                case ("deliver", int(which), bool(keep)):
                    self.deliver(which, keep=keep)
                case ("lose", int(which)) if losses and self.pending:
                    self.pending.pop(which % len(self.pending))
        self.settle_down()

    def settle_down(self) -> None:
        """Every event has come, and two sweeps after that."""
        self.end()
        while self.pending:
            self.deliver(0, keep=False)
        self.readable = True
        for _ in range(2):
            self.now += timedelta(hours=1)
            self.sweep()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("off")),
        st.tuples(st.just("on")),
        st.tuples(st.just("sweep")),
        st.tuples(st.just("begin")),
        st.tuples(st.just("end")),
        st.tuples(st.just("readable"), st.booleans()),
        st.tuples(st.just("deliver"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("lose"), st.integers(0, 5)),
    ),
    max_size=25,
)


def lived(history: Sequence[tuple[object, ...]], *, on: bool, losses: bool) -> World:
    """Live through a history and let it come to rest."""
    world = World(on=on)
    world.live(history, refusals=True, losses=losses)
    return world


@settings(max_examples=150, deadline=None)
@given(steps, st.booleans(), st.booleans())
def test_at_rest_the_open_findings_say_what_is_true(history: list[tuple[object, ...]], on: bool, losses: bool) -> None:
    world = lived(history, on=on, losses=losses)
    open_now = {f.control for f in world.memory.findings if f.is_open}
    if world.on:
        assert open_now == set()
    else:
        assert len(open_now) == 1
        assert open_now <= {"mfa-delete-disabled", "mfa-delete-missing"}


@settings(max_examples=150, deadline=None)
@given(steps)
def test_a_turn_off_is_never_lost_while_its_event_arrives(history: list[tuple[object, ...]]) -> None:
    world = World(on=True)
    world.sweep()  # known as protected before anything happens
    world.live(history, refusals=False, losses=False)
    raised = [control for control, change in world.told if change in {Change.OPENED, Change.REOPENED}]
    assert ("mfa-delete-disabled" in raised) == (world.offs > 0)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_nothing_is_told_to_be_resolved_that_was_not_told_to_be_open(history: list[tuple[object, ...]]) -> None:
    world = lived(history, on=True, losses=True)
    is_open: set[str] = set()
    for control, change in world.told:
        if change is Change.RESOLVED:
            assert control in is_open
            is_open.discard(control)
        else:
            is_open.add(control)
    stored = {f.control: f.status for f in world.memory.findings}
    assert all(stored[control] is not Status.RESOLVED for control in is_open)


def test_an_unreadable_bucket_keeps_what_was_known_of_it() -> None:
    world = World(on=True)
    world.sweep()
    world.readable = False
    world.sweep()
    assert world.memory.last is not None
    assert world.memory.last.verdict is Verdict.PROTECTED
