"""Dead letters of rule and schedule targets: what could not be delivered goes to the target's own queue, raw.

EventBridge needs the target's resource policy, and that of the dead letter queue; a schedule has a role instead.
Without them AWS drops the event in silence, so does this room (with a line in the server's log).
"""

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from local import emulator, forwarding, permissions, topics

_SENDER = "events.amazonaws.com"
_LOG = logging.getLogger("local.dead_letters")

Allows = Callable[[str, str], bool]


def install() -> None:
    """Stand in front of ministack's delivery to targets."""
    emulator.eventbridge._invoke_target = _or_dead_letter(emulator.eventbridge._invoke_target)


def _or_dead_letter(invoke: Callable[..., None]) -> Callable[..., None]:
    def invoke_or_dead_letter(
        target: dict[str, Any], event: dict[str, Any], source: dict[str, Any], view: Any = None
    ) -> None:
        reason = _undeliverable(target, event, source)
        if reason is None:
            invoke(target, event, source, view)
            return
        whole = (view or emulator.eventbridge._pattern_event_view(event)).event_with_detail()
        # A schedule's dead letter holds the input it would have sent, a rule's the event itself.
        body = str(target["Input"]) if _is_schedule(source) and "Input" in target else json.dumps(whole)
        _bury(target, source, body, reason)

    return invoke_or_dead_letter


def _is_schedule(source: dict[str, Any]) -> bool:
    return "Target" in source


def _undeliverable(target: dict[str, Any], event: dict[str, Any], source: dict[str, Any]) -> str | None:
    """Why a target cannot be reached, as an EventBridge ERROR_CODE; None when it can or is of a kind not ours."""
    target_arn = str(target.get("Arn", ""))
    try:
        spec = emulator.arn.parse_arn(target_arn)
    except emulator.arn.ArnParseError:
        return "INVALID_PARAMETER"
    rule_arn = str(source.get("Arn", ""))
    if forwarding.bus_elsewhere(target):
        return forwarding.refusal(target, event, rule_arn)
    if spec.service not in _KINDS:
        return None
    exists, allows = _KINDS[spec.service]
    if not emulator.eventbridge._target_matches_request_scope(spec) or not exists(target_arn):
        return "NO_RESOURCE"
    if spec.service == "sns" and topics.key_refusal(target_arn):
        return "SDK_CLIENT_ERROR"
    needs_policy = not _is_schedule(source) and "RoleArn" not in target
    return "NO_PERMISSIONS" if needs_policy and not allows(target_arn, rule_arn) else None


def _function(target_arn: str) -> Any:
    return emulator.lambda_svc._get_func_record_for_ref(target_arn)[1]


def _function_allows(target_arn: str, rule_arn: str) -> bool:
    record, _, _ = emulator.lambda_svc._get_func_record_for_ref(target_arn)
    return permissions.service_may(record.get("policy"), _SENDER, "lambda:InvokeFunction", target_arn, rule_arn)


def _queue_allows(target_arn: str, rule_arn: str) -> bool:
    account = emulator.responses.get_account_id()
    return bool(emulator.sqs.queue_policy_allows(target_arn, _SENDER, rule_arn, account))


def _topic_allows(target_arn: str, rule_arn: str) -> bool:
    account = emulator.responses.get_account_id()
    is_admitted = bool(emulator.sns.topic_policy_allows(target_arn, _SENDER, rule_arn, account))
    return is_admitted and topics.key_admits(target_arn, _SENDER, rule_arn)


_KINDS: dict[str, tuple[Callable[[str], Any], Allows]] = {
    "lambda": (_function, _function_allows),
    "sqs": (emulator.sqs._queue_by_arn, _queue_allows),
    "sns": (emulator.sns._topic_by_arn_any_scope, _topic_allows),
}


def _bury(target: dict[str, Any], source: dict[str, Any], body: str, reason: str) -> None:
    queue_arn = str((target.get("DeadLetterConfig") or {}).get("Arn", ""))
    queue = emulator.sqs._queue_by_arn(queue_arn)
    is_allowed = _is_schedule(source) or _queue_allows(queue_arn, str(source.get("Arn", "")))
    if queue is None or not is_allowed:
        _LOG.warning("dropped: %s for %s and no dead letter queue that accepts it", reason, target.get("Arn"))
        return
    queue["messages"].append(_message(target, source, body, reason))
    emulator.concurrency.esm_wake.set()


def _message(target: dict[str, Any], source: dict[str, Any], body: str, reason: str) -> dict[str, Any]:
    attributes = {
        "RULE_ARN": str(source.get("Arn", "")),
        "TARGET_ARN": str(target.get("Arn", "")),
        "ERROR_CODE": reason,
        "ERROR_MESSAGE": f"{reason} at {target.get('Arn', '')}",
        "RETRY_ATTEMPTS": "0",
    }
    now = time.time()
    message = {
        "id": str(uuid.uuid4()),
        "body": body,
        "md5_body": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "receipt_handle": None,
        "sent_at": now,
        "visible_at": now,
        "receive_count": 0,
        "attributes": {},
        "message_attributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
        "sys": {"SenderId": _SENDER, "SentTimestamp": str(int(now * 1000))},
    }
    emulator.sqs._ensure_msg_fields(message)
    return message
