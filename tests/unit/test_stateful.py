"""Random lives of one bucket, seen event by event, against a model that knows nothing of controls and life cycles."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared import lifecycle, verdict
from shared.controls import PROTECTION
from shared.evidence import Evidence, Memory, Rules
from shared.facts import (
    BucketKey,
    BucketState,
    Exemption,
    MfaDelete,
    Outcome,
    Principal,
    Trigger,
    TriggerKind,
    Versioning,
)
from shared.finding import Change, Severity, Status, Transition

BUCKET = BucketKey(account="111122223333", region="us-east-1", name="vault")
ROOT = Principal(kind="Root", id="arn:aws:iam::111122223333:root")
USERS = st.sampled_from(["ann", "bob"])
RULES = Rules(threshold=3)


class Life(RuleBasedStateMachine):
    """The bucket as it is, what the guardrail remembers, and what the model expects."""

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.on = self.suspended = self.untagged = False
        self.exempt_until: datetime | None = None
        self.memory, self.known = Memory(), set[str]()
        self.turned_off = self.acknowledged = False
        self.deeds: Counter[tuple[str, str, str]] = Counter()
        self.events = 0
        self.look(TriggerKind.SWEEP)

    # The guardrail, in memory

    def look(self, kind: TriggerKind, name: str = "", principal: Principal | None = None, **how: object) -> None:
        self.events += 1
        if self.suspended and self.acknowledged:  # what was acknowledged does not hide what came after
            self.turned_off = self.acknowledged = False
        ids = (f"event-{self.events}",) if kind is not TriggerKind.SWEEP else ()
        trigger = Trigger(kind=kind, at=self.now, bucket=BUCKET, event_ids=ids, event_name=name, principal=principal)
        self.settle(replace(trigger, **how))  # type: ignore[arg-type]

    def settle(self, trigger: Trigger) -> None:
        if set(trigger.event_ids) & self.known:
            return
        self.known |= set(trigger.event_ids)
        reading = BucketState(
            tagged=not self.untagged,
            versioning=Versioning.SUSPENDED if self.suspended else Versioning.ENABLED,
            mfa_delete=MfaDelete.ENABLED if self.on else MfaDelete.DISABLED,
            exemption=Exemption(until=f"{self.exempt_until:%Y-%m-%dT%H:%MZ}", reason="x")
            if self.exempt_until
            else None,
        )
        judged = verdict.of(reading, judged_before=self.memory.judged, now=self.now, longest=timedelta(days=90))
        evidence = Evidence(
            now=self.now, trigger=trigger, reading=reading, verdict=judged, memory=self.memory, rules=RULES
        )
        plan = lifecycle.plan(evidence)
        self.check_told(plan.transitions)
        changed = {t.finding.id: t.finding for t in plan.transitions}
        kept = tuple(finding for finding in self.memory.findings if finding.id not in changed)
        self.memory = Memory(rev=self.memory.rev + 1, last=plan.last, findings=(*kept, *changed.values()))
        self.last_trigger = trigger

    def check_told(self, transitions: tuple[Transition, ...]) -> None:
        """Nothing is told twice in one step, and nobody is reminded of what was acknowledged."""
        assert len({t.finding.id for t in transitions}) == len(transitions)
        for transition in transitions:
            if transition.change is Change.REMINDED:
                assert transition.finding.status is Status.OPEN

    # What happens

    @precondition(lambda self: not self.suspended)
    @rule()
    def root_turns(self) -> None:
        self.on = not self.on
        asked = MfaDelete.ENABLED if self.on else MfaDelete.DISABLED
        if self.on:
            self.turned_off = self.acknowledged = False
        elif not self.is_exempt:
            self.turned_off, self.acknowledged = True, False
        self.look(TriggerKind.BUCKET_CHANGE, "PutBucketVersioning", ROOT, asked_mfa_delete=asked)

    @precondition(lambda self: not self.on)
    @rule()
    def somebody_suspends_or_resumes(self) -> None:
        self.suspended = not self.suspended
        if self.is_exempt:
            self.turned_off = False
        asked = Versioning.SUSPENDED if self.suspended else Versioning.ENABLED
        self.look(TriggerKind.BUCKET_CHANGE, "PutBucketVersioning", asked_status=asked)

    @rule()
    def a_tag_goes_or_comes(self) -> None:
        self.untagged = not self.untagged
        self.look(TriggerKind.BUCKET_CHANGE, "PutBucketTagging")

    @rule(hours=st.integers(1, 48))
    def an_exception_is_set(self, hours: int) -> None:
        self.exempt_until = (self.now + timedelta(hours=hours)).replace(second=0)
        if self.is_exempt:
            self.turned_off = False
        self.look(TriggerKind.BUCKET_CHANGE, "PutBucketTagging")

    @rule(user=USERS, outcome=st.sampled_from([Outcome.DONE, Outcome.DENIED]), again=st.booleans())
    def somebody_deletes(self, user: str, outcome: Outcome, again: bool) -> None:
        control = "version-deleted" if outcome is Outcome.DONE else "version-delete-denied"
        self.deeds[control, user, f"{self.now:%Y-%m-%dT%H:00Z}"] += 1
        self.look(TriggerKind.VERSION_DELETE, "DeleteObject", Principal(kind="IAMUser", id=user), outcome=outcome)
        if again:
            self.settle(self.last_trigger)

    @rule(minutes=st.integers(1, 600))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def the_sweep_runs(self) -> None:
        if self.is_exempt:
            self.turned_off = False
        self.look(TriggerKind.SWEEP)

    @rule()
    def somebody_acknowledges_the_state(self) -> None:
        found = [f for f in self.memory.findings if f.status is Status.OPEN and f.control in PROTECTION]
        for finding in found:
            self.acknowledged = finding.control == "mfa-delete-disabled"
            change = lifecycle.acknowledge(finding, by="ann", why="planned", now=self.now)
            others = tuple(f for f in self.memory.findings if f.id != finding.id)
            self.memory = replace(self.memory, findings=(*others, change.finding))

    # What must be so

    @property
    def is_exempt(self) -> bool:
        in_time = self.exempt_until is not None and self.now < self.exempt_until
        return in_time and not self.on and not self.suspended

    def expected(self) -> set[str]:
        found = {"protection-tag-removed"} if self.untagged else set()
        if self.on or self.is_exempt:
            return found
        if self.turned_off:
            return found | {"mfa-delete-disabled"}
        return found | ({"versioning-suspended"} if self.suspended else {"mfa-delete-missing"})

    @invariant()
    def one_finding_of_three_at_a_time(self) -> None:
        assert sum(f.is_open and f.control in PROTECTION for f in self.memory.findings) <= 1

    @invariant()
    def deeds_are_counted_once_each(self) -> None:
        counted = {
            (f.control, f.principal.id, f.window): f
            for f in self.memory.findings
            if f.is_deed and f.principal and f.control.startswith("version-delete")
        }
        assert {key: f.count for key, f in counted.items()} == dict(self.deeds)
        for (control, *_), finding in counted.items():
            many = finding.count >= RULES.threshold
            if control == "version-delete-denied":
                assert (finding.severity is Severity.HIGH) == many

    def teardown(self) -> None:
        """At rest, after one more sweep, what is open is what is true."""
        self.the_sweep_runs()
        open_now = {f.control for f in self.memory.findings if f.is_open and not f.is_deed}
        assert open_now == self.expected()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
