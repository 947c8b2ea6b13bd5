"""Controls of the guardrail itself: whether it is blind, and who changed it."""

from datetime import datetime, timedelta

from shared.evidence import Control, Evidence
from shared.facts import GuardrailHealth, Outcome, TriggerKind
from shared.finding import Severity
from shared.predicates import always, believable

TRAIL_CALLS = frozenset({"StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"})
DEPLOY_CALLS = frozenset({"UpdateStack", "ExecuteChangeSet"})
EVENT_TIME = timedelta(minutes=30)
"""In which CloudTrail's event of a call has come, if it comes at all."""
LONGEST_DEPLOY, SKEW = timedelta(hours=2), timedelta(minutes=1)
LOOK_CALLS = frozenset({"PutBucketNotification", "StartLogging"})
"""Calls that may change what we see and are nobody's fault: they only make us look."""

BLINDING_CALLS = {
    "trail": TRAIL_CALLS,
    "deletes": TRAIL_CALLS | {"PutBucketNotification"},
    "rule": frozenset({"DisableRule", "DeleteRule", "PutRule", "PutTargets", "RemoveTargets"}),
    "schedule": frozenset({"UpdateSchedule", "DeleteSchedule"}),
    "subscription": frozenset({"Unsubscribe", "SetSubscriptionAttributes", "DeleteTopic"}),
    "function": frozenset({"PutFunctionConcurrency", "DeleteFunction", "UpdateEventSourceMapping"}),
}
"""What a condition is about -> the calls that bring it about: whoever made one of them is named."""

# --- guardrail-blind -------------------------------------------------------------------------------------------------


def _guardrail_blind(e: Evidence) -> bool:
    """Something that the guardrail needs to see, or to be heard, is off, gone, changed or was never there."""
    return isinstance(e.reading, GuardrailHealth) and bool(e.reading.troubles) and not _in_between(e)


def _sees_again(e: Evidence) -> bool:
    """All is well, and what was wrong could be looked at: a refused look ends no trouble."""
    if not isinstance(e.reading, GuardrailHealth) or e.reading.troubles or _in_between(e):
        return False
    blind = [f for f in e.memory.findings if f.is_open and f.control == GUARDRAIL_BLIND.id]
    told = {condition.about for finding in blind for condition in finding.conditions}
    return not told & {condition.about for condition in e.reading.unknown}


def _in_between(e: Evidence) -> bool:
    """While CloudFormation is at it, what is half made is no trouble, and what is still whole no proof."""
    return isinstance(e.reading, GuardrailHealth) and (e.reading.deploying or e.trigger.event_name in DEPLOY_CALLS)


def _brought_about(e: Evidence) -> bool:
    """The trigger's call is of the kind that brings about what is wrong now."""
    if not isinstance(e.reading, GuardrailHealth) or e.trigger.outcome is not Outcome.DONE:
        return False
    return any(e.trigger.event_name in BLINDING_CALLS.get(each.about, ()) for each in e.reading.troubles)


def _worst_when_nothing_is_noticed(e: Evidence) -> Severity:
    is_blind = isinstance(e.reading, GuardrailHealth) and any(each.blinds for each in e.reading.troubles)
    return Severity.CRITICAL if is_blind else Severity.HIGH


GUARDRAIL_BLIND = Control(
    id="guardrail-blind",
    title="The guardrail is blind",
    severity=_worst_when_nothing_is_noticed,
    holds=_guardrail_blind,
    clears=_sees_again,
    done_by=_brought_about,
    runbook="restore-the-guardrail",
    refs=("CIS AWS Foundations 3.1", "Security Hub CloudTrail.1"),
    source="CloudTrail user guide, trails; EventBridge user guide, events from AWS services",
)

# --- guardrail-tampered ----------------------------------------------------------------------------------------------


def _guardrail_tampered(e: Evidence) -> bool:
    """Somebody changed or stopped what the guardrail is made of, or the trail that feeds it, but by a known deploy."""
    if not isinstance(e.reading, GuardrailHealth):
        return False
    return policies_changed(e) or (unseen_deploy(e) and bool(e.rules.deploy_principals)) or tampered(e)


def tampered(e: Evidence) -> bool:
    """The trigger's call itself did it. Others may wake us meanwhile, who are to blame for nothing."""
    return _changed_us(e) and not _is_deploy(e)


def _changed_us(e: Evidence) -> bool:
    done = e.trigger.kind is TriggerKind.GUARDRAIL_CHANGE and e.trigger.outcome is Outcome.DONE and believable(e)
    return done and e.trigger.event_name not in LOOK_CALLS and _feeds_us(e)


def _feeds_us(e: Evidence) -> bool:
    """A trail is ours to watch if it fed us when we last looked; before the first look every trail may."""
    watched = e.memory.watched
    if e.trigger.event_name not in TRAIL_CALLS or watched is None:
        return True
    feeding = {arn.rpartition("/")[2] for arn in watched.feeding}
    return any(name.rpartition("/")[2] in feeding for name in e.trigger.resources)


def _is_first_look(e: Evidence) -> bool:
    """Nothing is known of it yet; what is there and cannot be read is no first look."""
    return e.memory.watched is None and not e.memory.hides_last


def _is_deploy(e: Evidence) -> bool:
    """An update through CloudFormation, by whoever may deploy; where nobody is named, everybody may."""
    principal, allowed = e.trigger.principal, e.rules.deploy_principals
    may = not allowed or _is_first_look(e) or (principal is not None and principal.id in allowed)
    return e.trigger.event_name in DEPLOY_CALLS and may


def policies_changed(e: Evidence) -> bool:
    """Policies of our roles, topics, queues or buses are not what they were, in a stack that is the same.

    IAM's events reach one Region only, and what another stack does comes from CloudFormation's own address.
    """
    now, was = e.reading, e.memory.watched
    if not isinstance(now, GuardrailHealth) or was is None or not (now.policies and was.policies):
        return False
    return now.policies != was.policies and now.deployed_at == was.deployed_at


def deploy_is_accounted(e: Evidence) -> bool:
    """The stack's last change is that which we know, its making, or one whose call was told of (or is the trigger)."""
    now, was = e.reading, e.memory.watched
    if not isinstance(now, GuardrailHealth) or was is None or now.deployed_at == was.accounted:
        return True
    deployed = datetime.fromisoformat(now.deployed_at)
    calls = [f.last_at for f in e.memory.findings if f.event_name in DEPLOY_CALLS]
    calls += [e.trigger.at] if e.trigger.event_name in DEPLOY_CALLS else []
    return any(at - SKEW <= deployed <= at + LONGEST_DEPLOY for at in calls)


def unseen_deploy(e: Evidence) -> bool:
    """CloudFormation changed the stack, and no event has told who asked for it; events have had their time to come."""
    now = e.reading
    if not isinstance(now, GuardrailHealth) or now.deploying or deploy_is_accounted(e):
        return False
    return e.now - datetime.fromisoformat(now.deployed_at) > EVENT_TIME


GUARDRAIL_TAMPERED = Control(
    id="guardrail-tampered",
    title="Somebody changed the guardrail",
    severity=always(Severity.HIGH),
    holds=_guardrail_tampered,
    clears=None,
    done_by=tampered,
    runbook="look-into-a-tampered-guardrail",
    refs=("CIS AWS Foundations 4.5",),
    source="CloudTrail record contents; the API references of the services that the stack is made of",
)

# --- guardrail-changed -----------------------------------------------------------------------------------------------


def _guardrail_changed(e: Evidence) -> bool:
    """The stack was updated through CloudFormation, by somebody who may deploy it; its making is no update."""
    if not isinstance(e.reading, GuardrailHealth) or _is_first_look(e):
        return False
    return _deployed(e) or (unseen_deploy(e) and not e.rules.deploy_principals)


def _deployed(e: Evidence) -> bool:
    """The trigger's call itself did it."""
    return _changed_us(e) and _is_deploy(e)


GUARDRAIL_CHANGED = Control(
    id="guardrail-changed",
    title="The guardrail was deployed",
    severity=always(Severity.INFO),
    holds=_guardrail_changed,
    clears=None,
    done_by=_deployed,
    runbook="look-into-a-deployed-guardrail",
    refs=(),
    source="CloudFormation API reference, ExecuteChangeSet",
)
