"""From what the handlers left in history to how each bucket stood, and when, and by whom."""

from datetime import timedelta
from itertools import pairwise

import pytest

from cli.report_spans import Standing
from handlers import bucket_change, sweep
from shared.facts import LastLook
from tests.functional.conftest import Stage
from tests.functional.events import event
from tests.functional.reports import at, gaps_of, look_at_itself, spans_of, stood
from tests.functional.test_handlers import TICK, disabled, exempt, protected
from tests.functional.test_life_cycle import acknowledge


def test_before_the_first_look_nothing_is_claimed(stage: Stage) -> None:
    stage.later(days=5)
    first = stage.now
    protected(stage)
    stage.later(days=1)
    assert stood(stage) == ["not observed", "protected"]
    assert at(stage, first - timedelta(minutes=1)) == "not observed"
    assert at(stage, first) == "protected"


def test_it_is_unprotected_since_the_change_not_since_the_look_and_its_maker_is_named(stage: Stage) -> None:
    protected(stage)
    stage.later(hours=5)
    off = stage.now
    turn_off = disabled(stage, at=off)
    stage.later(minutes=7)
    stage.invoke(bucket_change.handler, turn_off)
    stage.later(days=1)
    on = stage.now
    stage.mfa_delete["vault"] = "Enabled"
    stage.invoke(bucket_change.handler, event("put-bucket-versioning.root-enables", "vault", at=on, event_id="on"))
    stage.later(hours=1)
    assert stood(stage) == ["not observed", "protected", "unprotected", "protected"]
    _, good, bad, again = spans_of(stage)
    assert (good.end, bad.start, bad.end, again.start) == (off, off, on, on)
    assert bad.by is not None
    assert bad.by.is_root
    assert (again.by, again.event_ids) == (None, ("on",))  # the finding that ended names who opened it
    assert at(stage, off - timedelta(seconds=1)) == "protected"
    assert at(stage, off) == "unprotected"
    assert at(stage, on) == "protected"


def test_what_a_sweep_found_learns_its_maker_and_its_time_from_a_late_event(stage: Stage) -> None:
    protected(stage)
    stage.later(hours=1)
    turn_off, off = disabled(stage, at=stage.now), stage.now
    stage.later(minutes=30)
    stage.invoke(sweep.handler, TICK)
    found = stage.now
    stage.later(minutes=30)
    assert (spans_of(stage)[-1].by, spans_of(stage)[-1].start) == (None, found)
    stage.invoke(bucket_change.handler, turn_off)
    bad = spans_of(stage)[-1]
    assert bad.by is not None
    assert bad.start == off


def test_suspended_then_on_again(stage: Stage) -> None:
    protected(stage)
    stage.later(days=1)
    stage.s3.put_bucket_versioning(Bucket="vault", VersioningConfiguration={"Status": "Suspended"})
    stage.invoke(sweep.handler, TICK)
    suspended = stage.now
    stage.later(days=1)
    stage.s3.put_bucket_versioning(Bucket="vault", VersioningConfiguration={"Status": "Enabled"})
    stage.mfa_delete["vault"] = "Enabled"
    stage.invoke(sweep.handler, TICK)
    stage.later(days=1)
    assert stood(stage) == ["not observed", "protected", "suspended", "protected"]
    assert at(stage, suspended + timedelta(hours=23)) == "suspended"
    assert at(stage, suspended + timedelta(hours=24)) == "protected"


def test_an_exception_ends_on_its_own_day_even_if_nobody_looks(stage: Stage) -> None:
    stage.bucket("vault")
    exempt(stage, "vault", "2026-09-27", "</script><script>migration")
    stage.invoke(sweep.handler, TICK)
    stage.later(days=10)
    _, excused, bad = spans_of(stage)
    assert (excused.standing, bad.standing) == (Standing.EXEMPT, Standing.UNPROTECTED)
    assert excused.why == "exempt until 2026-09-27: </script><script>migration"
    assert (f"{bad.start:%Y-%m-%d %H:%M}", bad.why) == ("2026-09-28 00:00", "the exception ended")
    stage.invoke(sweep.handler, TICK)
    stage.later(days=1)
    assert stood(stage) == ["not observed", "exempt", "unprotected"]
    assert at(stage, bad.start - timedelta(seconds=1)) == "exempt"
    assert at(stage, bad.start) == "unprotected"


def test_an_exception_that_is_renewed_in_time_goes_on(stage: Stage) -> None:
    stage.bucket("vault")
    exempt(stage, "vault", "2026-09-27", "migration")
    stage.invoke(sweep.handler, TICK)
    stage.later(days=2)
    exempt(stage, "vault", "2026-10-20", "slow migration")
    stage.invoke(sweep.handler, TICK)
    stage.later(days=10)
    assert stood(stage) == ["not observed", "exempt"]


def test_a_refused_read_is_unverifiable_and_never_what_it_was_before(stage: Stage) -> None:
    protected(stage)
    stage.later(days=1)
    stage.denied.add(("GetBucketVersioning", "vault"))
    stage.invoke(sweep.handler, TICK)
    refused = stage.now
    stage.later(days=1)
    assert stood(stage) == ["not observed", "protected", "unverifiable"]
    assert "s3:GetBucketVersioning" in spans_of(stage)[-1].why
    stage.denied.clear()
    stage.invoke(sweep.handler, TICK)
    stage.later(days=1)
    assert stood(stage) == ["not observed", "protected", "unverifiable", "protected"]
    assert at(stage, refused + timedelta(hours=12)) == "unverifiable"


def test_a_bucket_that_could_never_be_read_was_never_protected(stage: Stage) -> None:
    stage.bucket("vault", mfa_delete="Enabled")
    stage.denied.add(("GetBucketVersioning", "vault"))
    stage.invoke(sweep.handler, TICK)
    stage.later(days=1)
    assert stood(stage) == ["not observed", "unverifiable"]


def test_only_the_lifecycle_refused_leaves_the_verdict_as_it_is(stage: Stage) -> None:
    stage.bucket("vault")
    stage.denied.add(("GetBucketLifecycleConfiguration", "vault"))
    stage.invoke(sweep.handler, TICK)
    stage.later(days=1)
    assert stood(stage) == ["not observed", "unprotected"]


def test_deleted_and_made_again_is_a_new_bucket(stage: Stage) -> None:
    protected(stage)
    stage.later(days=1)
    stage.s3.delete_bucket(Bucket="vault")
    stage.invoke(bucket_change.handler, event("delete-bucket.done", "vault", at=stage.now))
    gone = stage.now
    stage.later(days=1)
    assert stood(stage) == ["not observed", "protected", "deleted"]
    assert spans_of(stage)[-1].by is not None
    stage.bucket("vault", mfa_delete="Disabled")
    stage.invoke(sweep.handler, TICK)
    stage.later(days=1)
    assert stood(stage) == ["not observed", "protected", "deleted", "unprotected"]
    assert at(stage, gone + timedelta(hours=1)) == "deleted"


def test_deleted_and_made_again_before_anybody_looked_is_said(stage: Stage) -> None:
    protected(stage)
    stage.later(days=1)
    stage.s3.delete_bucket(Bucket="vault")
    stage.bucket("vault", mfa_delete="Disabled")
    stage.invoke(bucket_change.handler, event("delete-bucket.done", "vault", at=stage.now))
    stage.later(days=1)
    assert stood(stage) == ["not observed", "protected", "unprotected"]
    assert spans_of(stage)[-1].why == "deleted and made again"


def test_a_removed_tag_that_is_acknowledged_ends_the_enrolment(stage: Stage) -> None:
    protected(stage)
    stage.s3.delete_bucket_tagging(Bucket="vault")
    stage.later(days=1)
    stage.invoke(sweep.handler, TICK)
    acknowledge(stage, "protection-tag-removed")
    stage.later(hours=1)
    stage.invoke(sweep.handler, TICK)
    stage.later(days=1)
    assert stood(stage) == ["not observed", "protected", "not enrolled"]


def test_off_and_on_before_the_look_is_a_span_of_its_own(stage: Stage) -> None:
    protected(stage)
    stage.later(days=1)
    off = stage.now
    stage.later(minutes=4)
    stage.invoke(bucket_change.handler, event("put-bucket-versioning.root-disables", "vault", at=off))
    stage.later(days=1)
    stage.invoke(sweep.handler, TICK)
    stage.later(days=1)
    _, _, bad, good = spans_of(stage)
    assert (bad.standing, bad.start, bad.end) == (Standing.UNPROTECTED, off, off + timedelta(minutes=4))
    assert (good.standing, good.start) == (Standing.PROTECTED, bad.end)


def test_while_the_guardrail_was_blind_nothing_is_claimed(stage: Stage) -> None:
    protected(stage)
    stage.later(days=1)
    look_at_itself(stage, blind=True)
    blind = stage.now
    stage.later(days=1)
    assert stood(stage) == ["not observed", "protected", "not observed"]
    look_at_itself(stage, blind=False)
    stage.later(days=1)
    assert stood(stage) == ["not observed", "protected", "not observed", "protected"]
    assert [(gap.start, gap.end) for gap in gaps_of(stage)] == [(blind, blind + timedelta(days=1))]
    assert at(stage, blind + timedelta(hours=3)) == "not observed"
    assert spans_of(stage)[2].why == "the guardrail was blind"


def test_a_guardrail_that_stopped_looking_at_itself_claims_nothing_since(stage: Stage) -> None:
    protected(stage)
    stage.guard.notes.note_look(LastLook(at=stage.now, canary_logged=False))
    stage.later(minutes=45)
    assert stood(stage) == ["not observed", "protected"]
    stage.later(minutes=1)
    assert stood(stage) == ["not observed", "not observed"]  # two reasons: before the first look, and since the last


def test_history_that_was_kept_no_longer_leaves_what_is_remembered_or_nothing(stage: Stage) -> None:
    protected(stage)
    for item in list(stage.guard.store._query("history", None)):
        stage.guard.store._db.delete_item(TableName="guardrail", Key={name: item[name] for name in ("pk", "sk")})
    stage.later(days=1)
    old, now = spans_of(stage, days=0)
    assert (old.standing, now.standing, old.why) == (
        Standing.NOT_OBSERVED,
        Standing.PROTECTED,
        "older than the history that is kept",
    )
    assert spans_of(stage, "never-seen")[0].standing is Standing.NOT_OBSERVED


@pytest.mark.parametrize("days", [1, 30])
def test_spans_follow_each_other_without_a_hole(stage: Stage, days: int) -> None:
    protected(stage)
    for number in range(3):
        stage.later(hours=3)
        stage.mfa_delete["vault"] = "Disabled" if number % 2 == 0 else "Enabled"
        stage.invoke(sweep.handler, TICK)
        look_at_itself(stage, blind=number == 1)
    stage.later(hours=1)
    found = spans_of(stage, since=stage.now - timedelta(days=days))
    assert found[0].start == stage.now - timedelta(days=days)
    assert found[-1].end == stage.now
    assert all(one.end == later.start for one, later in pairwise(found))
