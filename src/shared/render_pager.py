"""A finding as a pager takes it: a message in the shape of a CloudWatch alarm, one alarm for each finding.

PagerDuty, Grafana OnCall and Jira Service Management take such messages by their CloudWatch integrations and drop any
other shape without a word. That `AlarmName` is what makes two messages one incident is what senders observe; no vendor
promises it, so this is the only place that knows.
Source: Amazon CloudWatch user guide, alarm notifications; docs/schema/pager.schema.json
"""

import json
from datetime import datetime

from shared import quoting
from shared.channels import ends
from shared.finding import Finding, Told
from shared.settings import Settings
from shared.wording import short, subject_name

DESCRIPTION_LIMIT = 1024
"""Of a CloudWatch alarm's description."""


def alarm_name(finding: Finding) -> str:
    """`mfa-delete-disabled-1a2b3c4d`: the same for all messages of one finding, and of no other."""
    return f"{finding.control}-{finding.short_id}"


def page(told: Told, settings: Settings) -> tuple[str, str]:
    """Subject and message: an alarm that goes off, or one that is over."""
    finding = told.finding
    return _message(
        alarm_name(finding),
        short(told, settings),
        is_over=ends(finding, told.change),
        metric=finding.control,
        resource=subject_name(finding, settings),
        at=finding.changed_at or finding.detected_at,
        region=finding.bucket.region,
        settings=settings,
    )


def drill(settings: Settings, now: datetime, *, is_over: bool) -> tuple[str, str]:
    """A marked incident; nothing happened."""
    text = f"DRILL of the guardrail {settings.stack_name}: somebody asked whether pages arrive. Nothing is to be done."
    return _message(
        f"drill-{settings.stack_name}",
        [text],
        is_over=is_over,
        metric="drill",
        resource=settings.stack_name,
        at=now,
        region=settings.aws_region,
        settings=settings,
    )


def _message(
    name: str,
    lines: list[str],
    *,
    is_over: bool,
    metric: str,
    resource: str,
    at: datetime,
    region: str,
    settings: Settings,
) -> tuple[str, str]:
    new, old = ("OK", "ALARM") if is_over else ("ALARM", "OK")
    description = quoting.first_lines(lines, DESCRIPTION_LIMIT, "(more in the mail)")
    account = settings.account_id
    document = {
        "AlarmName": name,
        "AlarmDescription": description,
        "AWSAccountId": account,
        "AlarmConfigurationUpdatedTimestamp": _time(at),
        "NewStateValue": new,
        "NewStateReason": description,
        "StateChangeTime": _time(at),
        "Region": region,
        "AlarmArn": f"arn:{settings.partition}:cloudwatch:{region}:{account}:alarm:{name}",
        "OldStateValue": old,
        "OKActions": [],
        "AlarmActions": [],
        "InsufficientDataActions": [],
        "Trigger": {
            "MetricName": metric,
            "Namespace": "MfaDeleteGuardrail",
            "StatisticType": "Statistic",
            "Statistic": "MAXIMUM",
            "Unit": None,
            "Dimensions": [{"name": "Resource", "value": resource}],
            "Period": 60,
            "EvaluationPeriods": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "Threshold": 1.0,
            "TreatMissingData": "notBreaching",
            "EvaluateLowSampleCountPercentile": "",
        },
    }
    return f'{new}: "{quoting.cut(name, 64)}" in {region}', json.dumps(document)


def _time(at: datetime) -> str:
    """`2026-09-25T09:14:03.000+0000`, as CloudWatch writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
