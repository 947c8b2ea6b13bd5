"""Send: alerts to the topic, useless events to the dead letters."""

import json
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from shared.aws.calling import CONFIG, code
from shared.finding import Alert

_UNFIT = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that SQS refuses in a message (SQS API reference, SendMessage)."""

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient


class AlertTopic:
    """The SNS topic. People get the text, programs the JSON form: one publish serves both."""

    def __init__(self, arn: str) -> None:
        self._arn = arn
        self._sns: SNSClient = boto3.client("sns", config=CONFIG)

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


class DeadLetters:
    """The queue of what could not be delivered or is useless; each message says why."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def _sqs(self) -> "SQSClient":
        """Made when it is needed, which is nearly never."""
        return boto3.client("sqs", config=CONFIG)

    def put(self, event: Any, reason: str) -> None:
        """Keep the raw event, or its JSON form where SQS does not take it raw."""
        is_fit = isinstance(event, str) and not _UNFIT.search(event)
        body = event if is_fit else json.dumps(event, default=str)
        self._sqs.send_message(
            QueueUrl=self._url,
            MessageBody=body or "(empty)",
            MessageAttributes={"reason": {"DataType": "String", "StringValue": reason[:1024]}},
        )
