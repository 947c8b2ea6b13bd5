"""What live reads would have said: the state file of `guardrail replay`, in the shape of `guardrail status --json`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from shared.aws.buckets import tags_of
from shared.evidence import Memory
from shared.exemption import UNTIL_TAG
from shared.expiry import lifecycle_of
from shared.facts import (
    TAGGING_CALLS,
    BucketState,
    Exemption,
    Expiry,
    Gone,
    Last,
    Lifecycle,
    MfaDelete,
    Outcome,
    Reading,
    Trigger,
    Unreadable,
    Verdict,
    Versioning,
)
from shared.parse import Event

NOT_ENROLLED = BucketState(tagged=False, versioning=Versioning.NEVER_SET, mfa_delete=MfaDelete.NEVER_SET)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The file's buckets by name; one that is not listed is not enrolled."""

    buckets: Mapping[str, Mapping[str, Any]]
    tag: tuple[str, str]

    def reading(self, trigger: Trigger, event: Event) -> Reading:
        """What a live read of the trigger's bucket would have said."""
        entry = self.buckets.get(trigger.bucket.name)
        if entry is None:
            return NOT_ENROLLED
        if entry.get("gone"):
            return Gone()
        tags = tags_of(entry.get("tags") or {}, *self.tag)
        if entry.get("unverifiable"):
            action = str(entry["unverifiable"])
            return Unreadable(tagged=tags.tagged, action=action, error_code="AccessDenied", error_message="")
        versioning = Versioning(entry.get("versioning") or Versioning.NEVER_SET)
        return BucketState(
            tagged=tags.tagged,
            exemption=tags.exemption,
            versioning=versioning,
            mfa_delete=MfaDelete(entry.get("mfa_delete") or MfaDelete.NEVER_SET),
            lifecycle=_lifecycle(entry, trigger, event, versioning),
        )

    def memory(self, name: str) -> Memory:
        """What was known of the bucket before the first record."""
        last = self.buckets.get(name, {}).get("last")
        if not last:
            return Memory()
        since = _time(last["since"])
        known = Last(
            verdict=Verdict(last["verdict"]),
            since=since,
            read_at=since,
            first_seen=since,
            exemption=tags_of(self.buckets[name].get("tags") or {}, *self.tag).exemption,
            expiries=tuple(Expiry(**each) for each in last.get("expiries") or []),
        )
        return Memory(rev=1, last=known)


def _lifecycle(entry: Mapping[str, Any], trigger: Trigger, event: Event, versioning: Versioning) -> Lifecycle | None:
    """The entry's own rules if it has any; else a record that puts or removes them says what they were then."""
    if isinstance(entry.get("lifecycle"), list):
        return lifecycle_of(entry["lifecycle"], versioning)
    if trigger.outcome is not Outcome.DONE:
        return None
    if trigger.event_name == "DeleteBucketLifecycle":
        return Lifecycle()
    if trigger.event_name != "PutBucketLifecycle":
        return None
    asked = event["detail"].get("requestParameters")
    given = asked.get("LifecycleConfiguration") if isinstance(asked, Mapping) else None
    rules = (given.get("Rule") or []) if isinstance(given, Mapping) else []
    listed: Iterable[Any] = rules if isinstance(rules, list) else [rules]
    return lifecycle_of([rule for rule in listed if isinstance(rule, Mapping)], versioning)


def before_exception(memory: Memory, trigger: Trigger, event: Event) -> Memory:
    """The state file says how an exception is, not how it was: a tagging call that names one is what changed it."""
    last = memory.last
    if last is None or trigger.outcome is not Outcome.DONE or trigger.event_name not in TAGGING_CALLS:
        return memory
    if UNTIL_TAG not in json.dumps(event["detail"].get("requestParameters"), default=str):
        return memory
    was = Exemption(until="", reason="") if trigger.event_name == "UntagResource" else None
    return replace(memory, last=replace(last, exemption=was))


def load_state(path: Path, tag: tuple[str, str] = ("mfa-delete", "required")) -> State:
    """Read and check the file. Raises click.UsageError with the place that is wrong."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        told = document["guardrail"] if isinstance(document.get("guardrail"), dict) else {}
        tag = (str(told.get("tag_key", tag[0])), str(told.get("tag_value", tag[1])))
        state = State(buckets=document["buckets"], tag=tag)
        for name, entry in state.buckets.items():
            _check(state, name, entry)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as wrong:
        why = f"{type(wrong).__name__}: {wrong}"
        raise click.UsageError(f"{path} is not a state file as guardrail status --json writes it: {why}") from wrong
    return state


def _check(state: State, name: str, entry: Mapping[str, Any]) -> None:
    """Every value is read once before anything is judged."""
    if entry.get("versioning"):
        Versioning(entry["versioning"])
    if entry.get("mfa_delete"):
        MfaDelete(entry["mfa_delete"])
    tags = entry.get("tags") or {}
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise TypeError(f"tags of {name} are not an object of texts")
    rules = entry.get("lifecycle") or []
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise TypeError(f"lifecycle of {name} is not a list of rules")
    lifecycle_of(rules, Versioning.ENABLED)
    state.memory(name)


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
