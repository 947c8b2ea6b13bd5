"""A rule that tells a topic directly, in its own words, without a function in between."""

import json
from typing import Any

from local.cloud import Cloud
from tests.e2e.local_setting import make_queue, make_rule, receive, until

RULE = "arn:aws:events:us-east-1:111122223333:rule/"
TEMPLATE = '"Rule <rule> was switched off by <who> in <region>: <aws.events.rule-name> saw it. Mend: aws events."'
PATHS = {"rule": "$.detail.requestParameters.name", "who": "$.detail.userIdentity.arn", "region": "$.region"}


def make_topic(cloud: Cloud, name: str, rule_arn: str = "*", service: str = "events.amazonaws.com") -> str:
    """A topic that admits one rule, read by mail and by a pager."""
    statement: dict[str, Any] = {
        "Effect": "Allow", "Principal": {"Service": service}, "Action": "sns:Publish", "Resource": "*",
        "Condition": {"ArnLike": {"aws:SourceArn": rule_arn}},
    }  # fmt: skip
    sns = cloud.client("sns")
    topic = str(sns.create_topic(Name=name, Attributes={"Policy": json.dumps({"Statement": [statement]})})["TopicArn"])
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=f"{name}@example.com")
    sns.subscribe(TopicArn=topic, Protocol="https", Endpoint=f"https://{name}.example.com/hook")
    cloud.confirm_subscriptions()
    return topic


def watch(cloud: Cloud, name: str, topic: str, **target: Any) -> None:
    """A rule that tells the topic when the rule `victim-NAME` is disabled."""
    pattern = {
        "source": ["aws.events"],
        "detail": {"eventName": ["DisableRule"], "requestParameters": {"name": [f"victim-{name}"]}},
    }
    words = {"InputPathsMap": PATHS, "InputTemplate": TEMPLATE}
    make_rule(cloud, name, pattern, {"Arn": topic, "InputTransformer": words} | target)


def mails(cloud: Cloud, topic: str) -> list[tuple[str, str]]:
    return [(each.protocol, each.subject) for each in cloud.mail() if each.topic_arn == topic]


def test_the_words_of_the_rule_arrive_by_mail_and_at_the_pager(cloud: Cloud) -> None:
    topic = make_topic(cloud, "told", f"{RULE}told")
    watch(cloud, "told", topic)
    cloud.client("events").disable_rule(Name="victim-told")
    mail = cloud.wait_for_mail(lambda each: each.topic_arn == topic and each.protocol == "email", 5)
    text = (
        "Rule victim-told was switched off by arn:aws:iam::111122223333:root in us-east-1: told saw it. "
        "Mend: aws events."
    )
    assert mail.body.strip('"') == text
    assert (mail.to, mail.subject) == ("told@example.com", "AWS Notification Message")
    hook = cloud.wait_for_mail(lambda each: each.topic_arn == topic and each.protocol == "https", 5)
    assert json.loads(hook.body)["Message"].strip('"') == text
    assert "Subject" not in json.loads(hook.body)


def test_a_template_of_lines_and_one_of_json_keep_their_form(cloud: Cloud) -> None:
    topic = make_topic(cloud, "formed")
    watch(cloud, "formed", topic, InputTransformer={
        "InputPathsMap": PATHS, "InputTemplate": '"First <rule>."\n"Then <region>."'})  # fmt: skip
    cloud.client("events").disable_rule(Name="victim-formed")
    mail = cloud.wait_for_mail(lambda each: each.topic_arn == topic and each.protocol == "email", 5)
    assert mail.body == '"First victim-formed."\n"Then us-east-1."'
    watch(cloud, "formed", topic, InputTransformer={
        "InputPathsMap": PATHS, "InputTemplate": '{"rule": <rule>, "in": "<region>"}'})  # fmt: skip
    seen = len(cloud.mail())
    cloud.client("events").disable_rule(Name="victim-formed")
    until(lambda: len(cloud.mail()) == seen + 2)
    assert json.loads(cloud.mail(seen)[0].body) == {"rule": "victim-formed", "in": "us-east-1"}


def test_a_topic_that_does_not_admit_the_rule_leaves_a_dead_letter(cloud: Cloud) -> None:
    url, arn = make_queue(cloud, "unadmitted")
    for name, topic in (
        ("other-rule", make_topic(cloud, "other-rule", f"{RULE}another")),
        ("other-service", make_topic(cloud, "other-service", service="cloudwatch.amazonaws.com")),
    ):
        watch(cloud, name, topic, DeadLetterConfig={"Arn": arn})
        cloud.client("events").disable_rule(Name=f"victim-{name}")
    messages = until(lambda: found if len(found := receive(cloud, url)) == 2 else [])
    assert {each["MessageAttributes"]["ERROR_CODE"]["StringValue"] for each in messages} == {"NO_PERMISSIONS"}
    assert all(json.loads(each["Body"])["detail"]["eventName"] == "DisableRule" for each in messages)
    assert not [each for each in cloud.mail() if "other-" in each.topic_arn]


def test_a_topic_whose_key_is_disabled_leaves_a_dead_letter(cloud: Cloud) -> None:
    url, arn = make_queue(cloud, "locked")
    topic, key = make_topic(cloud, "locked"), cloud.client("kms").create_key()["KeyMetadata"]["KeyId"]
    cloud.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue=key)
    cloud.client("kms").disable_key(KeyId=key)
    watch(cloud, "locked", topic, DeadLetterConfig={"Arn": arn})
    cloud.client("events").disable_rule(Name="victim-locked")
    [message] = until(lambda: receive(cloud, url))
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "SDK_CLIENT_ERROR"
    assert mails(cloud, topic) == []
