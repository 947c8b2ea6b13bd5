"""SNS subscriptions that start pending, and the outbox: what their e-mail and HTTPS subscribers received."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from local import emulator

_NEED_CONFIRMATION = {"email", "email-json", "http", "https"}
_MAIL = {"email", "email-json"}
_PENDING = "PendingConfirmation"
_SEEN = "seen_by_local"
_LIMIT_SUBJECT = 100
_AWS_KEY = "alias/aws/sns"
_NEEDED_OF_KEY = ("kms:GenerateDataKey", "kms:Decrypt")

Response = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message a subscriber outside the cloud got; `at` is epoch seconds at delivery."""

    protocol: str
    to: str
    subject: str
    body: str
    topic_arn: str
    at: float
    message_attributes: dict[str, str]


class Outbox:
    """Everything delivered, in order."""

    def __init__(self) -> None:
        self._sent: list[Delivery] = []

    def add(self, delivery: Delivery) -> None:
        self._sent.append(delivery)

    def as_json(self, since: int) -> list[dict[str, Any]]:
        return [asdict(each) for each in self._sent[since:]]

    def clear(self) -> None:
        self._sent.clear()


def install(outbox: Outbox) -> None:
    """Take the places of ministack's fan-out, listings and confirmations."""
    sns = emulator.sns
    sns._fanout = _with_mail(sns._fanout, outbox)
    sns._refresh_subscription_counts = _after_settling(sns._refresh_subscription_counts)
    sns._subscribe = _without_arn(sns._subscribe)
    sns._list_subscriptions = _with_pending(sns._list_subscriptions)
    sns._list_subscriptions_by_topic = _with_pending(sns._list_subscriptions_by_topic)
    sns._publish = _with_subject_rule(sns._publish)
    sns._publish_batch = _with_key_rule(sns._publish_batch)
    sns.publish_internal = _with_usable_key(sns.publish_internal)
    emulator.eventbridge._dispatch_to_sns = _without_subject
    sns._deliver_to_http = _only_to_this_machine(sns._deliver_to_http)
    sns._send_subscription_confirmation = _only_local_confirmation(sns._send_subscription_confirmation)
    sns.handle_request = _settled_first(sns.handle_request)


def confirm(endpoint: str | None = None) -> list[str]:
    """Confirm pending subscriptions, all or those of one endpoint, as their owners would by the link."""
    confirmed = []
    for topic in list(emulator.sns._topics._data.values()):
        _settle(topic)
        for each in topic["subscriptions"]:
            if not each["confirmed"] and endpoint in (None, each["endpoint"]):
                each |= {"confirmed": True, "token": None}
                each["attributes"][_PENDING] = "false"
                confirmed.append(str(each["arn"]))
        emulator.sns._refresh_subscription_counts(topic)
    return confirmed


def _settle(topic: dict[str, Any]) -> None:
    """Make new subscriptions pending; CloudFormation adds them to the list itself, already confirmed."""
    for each in topic.get("subscriptions", []):
        if each["protocol"] in _NEED_CONFIRMATION and _SEEN not in each:
            each |= {_SEEN: True, "confirmed": False}
            each["attributes"] |= {_PENDING: "true", "ConfirmationWasAuthenticated": "false"}


def _after_settling(refresh: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    def settled(topic: dict[str, Any]) -> None:
        _settle(topic)
        refresh(topic)
        topic["attributes"].setdefault("SubscriptionsDeleted", "0")

    return settled


def _settled_first(handle: Callable[..., Any]) -> Callable[..., Any]:
    async def settled(*args: Any) -> Any:
        for topic in list(emulator.sns._topics._data.values()):
            _settle(topic)
        return await handle(*args)

    return settled


def _without_arn(subscribe: Callable[[Any], Response]) -> Callable[[Any], Response]:
    def answered(params: Any) -> Response:
        status, headers, body = subscribe(params)
        found = re.search(rb"<SubscriptionArn>(arn:[^<]+)</SubscriptionArn>", body)
        if emulator.sns._p(params, "ReturnSubscriptionArn") == "true":
            return status, headers, _return_arn(params, body)
        if found and _is_pending(found[1].decode()):
            body = body.replace(found[1], b"pending confirmation")
        return status, headers, body

    return answered


def _return_arn(params: Any, body: bytes) -> bytes:
    topic = emulator.sns._topic_by_arn_any_scope(emulator.sns._p(params, "TopicArn")) or {"subscriptions": []}
    wanted = (emulator.sns._p(params, "Protocol"), emulator.sns._p(params, "Endpoint"))
    arns = [each["arn"] for each in topic["subscriptions"] if (each["protocol"], each["endpoint"]) == wanted]
    return body.replace(b"pending confirmation", arns[-1].encode()) if arns else body


def _is_pending(subscription_arn: str) -> bool:
    found = emulator.sns._find_subscription(subscription_arn.rpartition(":")[0], subscription_arn)
    return bool(found) and not found["confirmed"]


def _with_pending(listing: Callable[[Any], Response]) -> Callable[[Any], Response]:
    def masked(found: re.Match[bytes]) -> bytes:
        return found[0].replace(found[1], _PENDING.encode()) if _is_pending(found[1].decode()) else found[0]

    def listed(params: Any) -> Response:
        status, headers, body = listing(params)
        return status, headers, re.sub(rb"<SubscriptionArn>(arn:[^<]+)</SubscriptionArn>", masked, body)

    return listed


def _with_subject_rule(publish: Callable[[Any], Response]) -> Callable[[Any], Response]:
    def checked(params: Any) -> Response:
        subject = emulator.sns._p(params, "Subject") or ""
        if len(subject) > _LIMIT_SUBJECT or any(ord(each) < 32 or ord(each) == 127 for each in subject):
            error: Response = emulator.sns._error("InvalidParameter", "Invalid parameter: Subject", 400)
            return error
        return publish(params)

    return checked


def key_refusal(topic_arn: str) -> tuple[str, str] | None:
    """Error code and message when a topic is encrypted with a key that cannot be used now, else None."""
    topic = emulator.sns._topic_by_arn_any_scope(topic_arn) or {"attributes": {}}
    name = topic["attributes"].get("KmsMasterKeyId")
    if not name or name == _AWS_KEY:
        return None
    key = _key(topic_arn, name)
    if key is None:
        return "KMSNotFound", f"{name} is not found."
    if key["KeyState"] == "Enabled":
        return None
    code = "KMSDisabled" if key["KeyState"] == "Disabled" else "KMSInvalidState"
    return code, f"{name} is in the state {key['KeyState']}."


def key_admits(topic_arn: str, service: str, source_arn: str) -> bool:
    """Whether the policy of a topic's key lets an AWS service encrypt what it publishes; true without a key.

    AWS's own key for SNS has a policy nobody can change, and it admits no service.
    """
    topic = emulator.sns._topic_by_arn_any_scope(topic_arn) or {"attributes": {}}
    name = topic["attributes"].get("KmsMasterKeyId")
    if not name or name == _AWS_KEY:
        return not name
    key = _key(topic_arn, name)
    return key is not None and all(_admits(key, each, service, source_arn) for each in _NEEDED_OF_KEY)


def _key(topic_arn: str, name: str) -> dict[str, Any] | None:
    """The key a topic names, looked up where the topic is."""
    _, _, _, region, account, _ = topic_arn.split(":", 5)
    with emulator.responses.request_scope(account, region):
        key: dict[str, Any] | None = emulator.kms._resolve_key(name)
    return key


def _admits(key: dict[str, Any], action: str, service: str, source_arn: str) -> bool:
    context = emulator.iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=key["Arn"],
        region=emulator.responses.get_region(),
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": emulator.responses.get_account_id()},
    )
    found = emulator.iam_evaluator.evaluate_resource_policy(key["Policy"], context, service=service)
    return bool(found.decision == "Allow")


def _with_usable_key(publish: Callable[..., Any]) -> Callable[..., Any]:
    def published(topic_arn: str, *args: Any, **more: Any) -> Any:
        refused = key_refusal(topic_arn)
        if refused:
            raise emulator.sns.SnsPublishError(*refused)
        return publish(topic_arn, *args, **more)

    return published


def _with_key_rule(publish: Callable[[Any], Response]) -> Callable[[Any], Response]:
    def published(params: Any) -> Response:
        refused = key_refusal(emulator.sns._p(params, "TopicArn") or "")
        if refused:
            error: Response = emulator.sns._error(*refused, 400)
            return error
        return publish(params)

    return published


def _without_subject(topic_arn: str, text: str) -> None:
    """EventBridge gives no subject; a topic whose key is unusable never gets here (dead_letters.py)."""
    emulator.sns.publish_internal(topic_arn, text)


def _with_mail(fanout: Callable[..., None], outbox: Outbox) -> Callable[..., None]:
    def fan_out(
        topic_arn: str,
        message_id: str,
        message: str,
        subject: str,
        structure: str = "",
        attributes: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        topic = emulator.sns._topic_by_arn_any_scope(topic_arn)
        _settle(topic or {})
        for protocol, to, text in _outside(topic or {}, message, structure, attributes or {}):
            is_plain = protocol == "email"
            envelope = emulator.sns._build_envelope(topic_arn, message_id, text, subject, attributes or {}, is_plain)
            outbox.add(
                Delivery(
                    protocol=protocol,
                    to=to,
                    subject=(subject or "AWS Notification Message") if protocol in _MAIL else subject,
                    body=envelope,
                    topic_arn=topic_arn,
                    at=time.time(),
                    message_attributes={
                        name: str(each.get("StringValue", "")) for name, each in (attributes or {}).items()
                    },
                )
            )
        fanout(topic_arn, message_id, message, subject, structure, attributes, **more)

    return fan_out


def _outside(
    topic: dict[str, Any], message: str, structure: str, attributes: dict[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """(protocol, endpoint, text) of each confirmed subscriber outside the cloud whose filter lets the message by."""
    for each in topic.get("subscriptions", []):
        if each["protocol"] in _NEED_CONFIRMATION and each["confirmed"]:
            text = emulator.sns._resolve_message_for_protocol(message, structure, each["protocol"])
            if emulator.sns._matches_filter_policy(each, attributes, text):
                yield each["protocol"], each["endpoint"], text


def _is_here(endpoint: str) -> bool:
    return urlsplit(endpoint).hostname == "127.0.0.1"


def _only_to_this_machine(deliver: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    async def delivered(endpoint: str, payload: str) -> None:
        if _is_here(endpoint):
            await deliver(endpoint, payload)

    return delivered


def _only_local_confirmation(send: Callable[[str, dict[str, Any]], Any]) -> Callable[[str, dict[str, Any]], Any]:
    async def sent(topic_arn: str, subscription: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        if _is_here(subscription["endpoint"]):
            await send(topic_arn, subscription)

    return sent
