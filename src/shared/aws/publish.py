"""Send: alerts to the topics, the bus and Security Hub, useless events to the dead letters."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from shared import render_bus, render_hub, render_pager
from shared.aws import calling
from shared.aws.calling import code
from shared.finding import Alert, Told
from shared.render import OfAccount
from shared.settings import Settings

_UNFIT = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that SQS refuses in a message (SQS API reference, SendMessage)."""

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient


class AlertTopic:
    """The SNS topic. People get the text, programs the JSON form: one publish serves both."""

    def __init__(self, arn: str) -> None:
        self._arn = arn
        self._sns: SNSClient = calling.client("sns")

    @property
    def client(self) -> "SNSClient":
        """For the other topics."""
        return self._sns

    def publish(self, alert: Alert) -> None:
        """SNS has accepted it when this returns. Raises ClientError otherwise."""
        forms = {"default": alert.json, "email": alert.text}
        self._sns.publish(
            TopicArn=self._arn,
            Subject=alert.subject,
            Message=json.dumps(forms),
            MessageStructure="json",
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in alert.attributes.items()
            },
        )

    def has_listener(self) -> bool:
        """Whether at least one subscription is confirmed; before that SNS accepts messages and drops them."""
        try:
            attributes = self._sns.get_topic_attributes(TopicArn=self._arn)["Attributes"]
        except ClientError as error:
            if code(error) != "NotFound":
                raise
            return False  # a topic that is gone has none
        return int(attributes.get("SubscriptionsConfirmed", "0")) > 0


class NotTaken(Exception):
    """A service answered, and took one of several entries only in part or not at all."""


class Outlet(Protocol):
    """Where changes go without a pace. `send`: raises, or says by position what was not taken, and why."""

    at_once: int

    def send(self, all_told: Sequence[Told]) -> dict[int, str]: ...


class PagerTopic:
    """The topic of the pager; the shape of its messages is the pager's (render_pager.py)."""

    at_once = 1

    def __init__(self, settings: Settings, of_account: OfAccount, sns: "SNSClient") -> None:
        self._settings, self._of_account, self._sns = settings, of_account, sns

    def send(self, all_told: Sequence[Told]) -> dict[int, str]:
        """An incident is opened, or over."""
        for told in all_told:
            self._publish(render_pager.page(told, self._of_account(told.finding.bucket.account)))
        return {}

    def drill(self, now: datetime) -> None:
        """A marked incident, over at once."""
        for is_over in (False, True):
            self._publish(render_pager.drill(self._settings, now, is_over=is_over))

    def _publish(self, page: tuple[str, str]) -> None:
        subject, message = page
        self._sns.publish(TopicArn=self._settings.pager_topic_arn, Subject=subject, Message=message)


class ChatTopic:
    """The topic that Amazon Q Developer in chat applications listens to."""

    def __init__(self, arn: str, sns: "SNSClient") -> None:
        self._arn, self._sns = arn, sns

    def publish(self, message: str) -> None:
        """SNS has accepted it when this returns. Raises ClientError otherwise."""
        self._sns.publish(TopicArn=self._arn, Message=message)


class Bus:
    """The event bus of the stack."""

    at_once = 10  # entries of one PutEvents

    def __init__(self, settings: Settings, of_account: OfAccount) -> None:
        self._settings, self._of_account = settings, of_account

    @cached_property
    def _events(self) -> "EventBridgeClient":
        made: EventBridgeClient = calling.client("events")
        return made

    def send(self, all_told: Sequence[Told]) -> dict[int, str]:
        """One event for each change."""
        return self._put([render_bus.entry(told, self._of_account(told.finding.bucket.account)) for told in all_told])

    def drill(self, now: datetime) -> None:
        """A marked event."""
        for why in self._put([render_bus.drill(self._settings, now)]).values():
            raise NotTaken(why)

    def _put(self, entries: Sequence[render_bus.Entry]) -> dict[int, str]:
        named = [{**entry, "EventBusName": self._settings.event_bus_name} for entry in entries]
        answer = self._events.put_events(Entries=named)  # type: ignore[arg-type]
        results = enumerate(answer["Entries"])
        return {number: f"the event bus: {each['ErrorCode']}" for number, each in results if "ErrorCode" in each}


class SecurityHub:
    """The account's Security Hub."""

    at_once = 100  # findings of one BatchImportFindings

    def __init__(self, settings: Settings, of_account: OfAccount) -> None:
        self._settings, self._of_account = settings, of_account

    @cached_property
    def _hub(self) -> Any:
        return calling.client("securityhub")

    def send(self, all_told: Sequence[Told]) -> dict[int, str]:
        """Import each finding as it is now; then, where an import has no say in it, set its workflow."""
        findings = [render_hub.asff(told, self._of(told), self._settings) for told in all_told]
        answer = self._hub.batch_import_findings(Findings=findings)
        failed = {each["Id"]: f"Security Hub: {each['ErrorCode']}" for each in answer["FailedFindings"]}
        refused = {number: failed[str(f["Id"])] for number, f in enumerate(findings) if f["Id"] in failed}
        for number, told in enumerate(all_told):
            workflow = render_hub.workflow(told, self._of(told), self._settings)
            if workflow and number not in refused:
                for each in self._hub.batch_update_findings(**workflow)["UnprocessedFindings"]:
                    refused[number] = f"Security Hub: {each['ErrorCode']}"
        return refused

    def _of(self, told: Told) -> Settings:
        return self._of_account(told.finding.bucket.account)


class DeadLetters:
    """The queue of what could not be delivered or is useless; each message says why."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def _sqs(self) -> "SQSClient":
        """Made when it is needed, which is nearly never."""
        made: SQSClient = calling.client("sqs")
        return made

    def put(self, event: Any, reason: str) -> None:
        """Keep the raw event, or its JSON form where SQS does not take it raw."""
        is_fit = isinstance(event, str) and not _UNFIT.search(event)
        body = event if is_fit else json.dumps(event, default=str)
        self._sqs.send_message(
            QueueUrl=self._url,
            MessageBody=body or "(empty)",
            MessageAttributes={"reason": {"DataType": "String", "StringValue": reason[:1024]}},
        )
