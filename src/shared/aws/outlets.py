"""How we are heard: topics, subscriptions, the key that encrypts, the alarms."""

from collections.abc import Iterator
from typing import Any

from shared.aws.parts import Part, Stack, answer_of, bad, fine
from shared.aws.trails import put_back, redeploy
from shared.facts import Condition


def topics(stack: Stack) -> Iterator[Condition]:
    """Topic: is it there, and does everybody listen who was asked to?"""
    sns = stack.clients("sns")
    for part in stack.of("AWS::SNS::Topic"):
        answer = answer_of(sns.get_topic_attributes, TopicArn=part.name)
        if answer is None:
            yield bad("topic", "gone", f"{part.tail} is gone: nothing can be sent", put_back(stack.settings))
        elif confirmed := int(answer["Attributes"].get("SubscriptionsConfirmed", 0)):
            yield fine("topic", f"{part.tail} has {confirmed} confirmed subscription(s)")
        elif part.logical_id == "AlertTopic":
            mend = f"aws sns subscribe --region {stack.settings.aws_region} --topic-arn {part.name} --protocol email"
            mend += " --notification-endpoint you@example.com"
            yield bad("topic", "unheard", "nobody has confirmed a subscription: alerts wait", mend)
    for part in stack.of("AWS::SNS::Subscription"):
        yield _subscription(sns, part, stack)


def _subscription(sns: Any, part: Part, stack: Stack) -> Condition:
    name = part.logical_id
    # the endpoint is not among the attributes
    answer = answer_of(sns.get_subscription_attributes, SubscriptionArn=part.name)
    if answer is None:
        mend = f"{redeploy(stack.settings)} without its address, then with it (docs/operations.md, its second section)"
        return bad("subscription", "deleted", f"{name} was deleted: nobody gets it", mend)
    found = answer["Attributes"]
    if found.get("PendingConfirmation") == "true":
        mend = "confirm it as docs/operations.md says, its second section; by the link alone, anybody may end it again"
        return bad("subscription", "pending", f"{name} has not been confirmed: nobody gets anything by it", mend)
    if found.get("FilterPolicy", "") not in {"", "{}"}:
        mend = f"aws sns set-subscription-attributes --subscription-arn {part.name} --attribute-name FilterPolicy"
        mend += " --attribute-value '{}'"
        return bad("subscription", "filtered", f"{name} lets only some messages by", mend)
    return fine("subscription", f"{name} is confirmed")


def bus(stack: Stack) -> Iterator[Condition]:
    """Bus: is it there, for those who have a target on it?"""
    for part in stack.of("AWS::Events::EventBus"):
        if answer_of(stack.clients("events").describe_event_bus, Name=part.name) is None:
            meaning = f"the event bus {part.name} is gone: what goes over it is lost"
            yield bad("bus", "gone", meaning, put_back(stack.settings))
        else:
            yield fine("bus", f"the event bus {part.name} is there")


def key(stack: Stack) -> Iterator[Condition]:
    """Key: can alerts be encrypted?"""
    for part in stack.of("AWS::KMS::Key"):
        state = stack.clients("kms").describe_key(KeyId=part.name)["KeyMetadata"]["KeyState"]
        if state == "Enabled":
            yield fine("key", "the key of the alert topic works")
        else:
            command = "cancel-key-deletion" if state == "PendingDeletion" else "enable-key"
            mend = f"aws kms {command} --region {stack.settings.aws_region} --key-id {part.name}"
            yield bad("key", "off", f"the key of the alert topic is {state}: alerts cannot be sent", mend)


def alarms(stack: Stack) -> Iterator[Condition]:
    """Alarm: are all there, and may they speak?"""
    names = [part.name for part in stack.of("AWS::CloudWatch::Alarm")]
    pages = stack.clients("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNames=names)
    speaking = {each["AlarmName"] for page in pages for each in page["MetricAlarms"] if each["ActionsEnabled"]}
    silent = [name for name in names if name not in speaking]
    if silent:
        mend = (
            f"aws cloudwatch enable-alarm-actions --region {stack.settings.aws_region} --alarm-names {' '.join(silent)}"
        )
        yield bad("alarm", "silent", f"{', '.join(silent)}: gone, or may not speak", mend)
    else:
        yield fine("alarm", f"all {len(names)} alarms may speak")
