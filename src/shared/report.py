"""What a run did, and how it is told to the log, to CloudWatch and to whoever invoked the function."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from shared.facts import Verdict
from shared.finding import NEWS, Change, Transition

logger = Logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did; `failed_messages` are ids of SQS messages to be delivered again, `errors` make the run fail.

    `heartbeat`: the metric that says that a sweep, or a look at the guardrail, was done; an alarm waits for it.
    `notes`: what went wrong and does not matter enough to fail.
    `alert_lags_s`: from a call to the alert that SNS took; `verdicts`: how many buckets a sweep judged as what.
    """

    transitions: tuple[Transition, ...] = ()
    lags_s: tuple[float, ...] = ()
    drill_lags_s: tuple[float, ...] = ()
    alert_lags_s: tuple[float, ...] = ()
    verdicts: Mapping[Verdict, int] = field(default_factory=dict)
    sweep_s: float | None = None
    duplicates: int = 0
    ignored: int = 0
    rejected: tuple[str, ...] = ()
    sent: int = 0
    still_owed: int = 0
    failed_messages: tuple[str, ...] = ()
    errors: tuple[Exception, ...] = ()
    heartbeat: str = ""
    notes: tuple[str, ...] = ()


def log(report: Report) -> None:
    """A line for each transition, and for what went wrong."""
    for reason in report.rejected:
        logger.warning("event rejected", extra={"reason": reason})
    for transition in report.transitions:
        finding = transition.finding
        logger.info(
            "transition",
            extra={
                "transition": transition.change.value,
                "control": finding.control,
                "severity": finding.severity.value,
                "finding_id": finding.short_id,
                "bucket": finding.bucket.name,
                "account": finding.bucket.account,
                "region": finding.bucket.region,
                "principal": finding.principal.id if finding.principal else None,
                "event_name": finding.event_name,
            },
        )
    for note in report.notes:
        logger.warning("note", extra={"reason": note})
    for error in report.errors:
        logger.error("not done", extra={"error": type(error).__name__, "reason": str(error), "about": _notes(error)})
    if report.still_owed and not report.errors:
        logger.warning(
            "alerts stay owed: they wait for a digest, for a listener, or for a place",
            extra={"owed": report.still_owed},
        )


def _notes(error: Exception) -> list[str]:
    return list(getattr(error, "__notes__", []))


def count(report: Report) -> None:
    """Send the metrics, in the log (EMF)."""
    counts = {
        "FindingOpened": sum(t.change in NEWS and t.is_told for t in report.transitions),
        "FindingResolved": sum(t.change is Change.RESOLVED for t in report.transitions),
        "BucketUnverifiable": sum(t.finding.control == "state-unverifiable" for t in report.transitions),
        "AlertPublished": report.sent,
        "AlertOwed": report.still_owed,
        "EventDuplicate": report.duplicates,
        "EventIgnored": report.ignored,
        "EventRejected": len(report.rejected),
        report.heartbeat: 1,
    }
    metrics = Metrics()
    for name, number in counts.items():
        if name and number:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=number)
    for judged, number in report.verdicts.items():
        metrics.add_metric(name=f"Buckets{judged.value.title()}", unit=MetricUnit.Count, value=number)
    spans = {
        "DetectionLag": report.lags_s,
        "DrillLag": report.drill_lags_s,
        "AlertLag": report.alert_lags_s,
        "SweepDuration": () if report.sweep_s is None else (report.sweep_s,),
    }
    for name, each_s in spans.items():
        for seconds in each_s:
            metrics.add_metric(name=name, unit=MetricUnit.Seconds, value=max(0.0, seconds))
    if any(number for name, number in counts.items() if name) or report.verdicts or any(spans.values()):
        metrics.flush_metrics()


def summary(report: Report) -> dict[str, Any]:
    """What the function answers: to SQS, and to a person who invokes it by hand."""
    return {
        "transitions": [f"{t.change.value} {t.finding.control} {t.finding.bucket.name}" for t in report.transitions][
            :100
        ],
        "sent": report.sent,
        "still_owed": report.still_owed,
        "duplicates": report.duplicates,
        "ignored": report.ignored,
        "rejected": list(report.rejected),
        "batchItemFailures": [{"itemIdentifier": message_id} for message_id in report.failed_messages],
    }
