"""A finding in the format of Security Hub (ASFF), with the same id whatever becomes of it.

An exception makes it SUPPRESSED, never PASSED: MFA delete is still off.
Source: AWS Security Finding Format; docs/schema/asff.schema.json
"""

from datetime import datetime

from shared import quoting
from shared.channels import ends
from shared.controls import BY_ID
from shared.deeds import VERSION_DELETE_DENIED, VERSION_DELETED
from shared.facts import GUARDRAIL
from shared.finding import Change, Finding, Severity, Told
from shared.settings import Settings
from shared.states import STATE_UNVERIFIABLE
from shared.watch import GUARDRAIL_BLIND, GUARDRAIL_TAMPERED
from shared.wording import headline, news, subject_name

RELATED = "Security Hub S3.20"
TITLE_LIMIT, DESCRIPTION_LIMIT, NOTE_LIMIT, VALUE_LIMIT = 256, 1024, 512, 256
_LABELS = {severity: severity.value.upper() for severity in Severity} | {Severity.INFO: "INFORMATIONAL"}
_TYPES = {
    VERSION_DELETED.id: "Effects/Data Destruction",
    VERSION_DELETE_DENIED.id: "Effects/Data Destruction",
    GUARDRAIL_TAMPERED.id: "TTPs/Defense Evasion",
    GUARDRAIL_BLIND.id: "TTPs/Defense Evasion",
}
_BEST_PRACTICE = "Software and Configuration Checks/AWS Security Best Practices"
_WORKFLOW = {
    Change.OPENED: "NEW",
    Change.REOPENED: "NEW",
    Change.EXEMPTED: "SUPPRESSED",
    Change.ACKNOWLEDGED: "NOTIFIED",
}

type Asff = dict[str, object]


def finding_id(finding: Finding, home: Settings) -> str:
    """At most 512 characters, and the same for every change of one finding."""
    return f"{home.stack_name}/{finding.bucket.account}/{finding.bucket.region}/{finding.control}/{finding.digest}"


def product_arn(home: Settings) -> str:
    """The account's own findings."""
    account = home.account_id
    return f"arn:{home.partition}:securityhub:{home.aws_region}:{account}:product/{account}/default"


def asff(told: Told, settings: Settings, home: Settings) -> Asff:
    """The finding as it is now. settings: of the bucket's account; home: of ours, the only one we may import for."""
    f = told.finding
    document: Asff = {
        "SchemaVersion": "2018-10-08",
        "Id": finding_id(f, home),
        "ProductArn": product_arn(home),
        "GeneratorId": f"mfa-delete-guardrail/{f.control}",
        "AwsAccountId": home.account_id,
        "Types": [_TYPES.get(f.control, _BEST_PRACTICE)],
        "FirstObservedAt": _time(f.at),
        "LastObservedAt": _time(f.last_at),
        "CreatedAt": _time(f.detected_at),
        "UpdatedAt": _time(f.changed_at or f.detected_at),
        "Severity": {"Label": _LABELS[f.severity], "Original": f.severity.value},
        "Title": quoting.cut(f"{headline(told)}: {subject_name(f, settings)}", TITLE_LIMIT),
        "Description": quoting.cut(news(told, settings), DESCRIPTION_LIMIT),
        "Remediation": {"Recommendation": {"Text": _remedy(f, home)}},
        "ProductFields": {
            "ProviderName": "mfa-delete-guardrail",
            "finding_id": f.short_id,
            "account": f.bucket.account,
            "change": told.change.value,
            "principal": quoting.plain(f.principal.id, VALUE_LIMIT) if f.principal and f.principal.id else "unknown",
        },
        "Resources": [_resource(f, settings)],
        "RecordState": "ARCHIVED" if _is_over(told) else "ACTIVE",
    }
    if not f.is_deed:
        related = (
            [*dict.fromkeys((*BY_ID[f.control].refs, RELATED))] if f.bucket.is_bucket else [*BY_ID[f.control].refs]
        )
        document["Compliance"] = {"Status": _compliance(told)} | ({"RelatedRequirements": related} if related else {})
    if told.change in _WORKFLOW:
        document["Workflow"] = {"Status": _WORKFLOW[told.change]}
    return document


def workflow(told: Told, settings: Settings, home: Settings) -> Asff | None:
    """What BatchUpdateFindings has to say after it: an import sets the workflow of new findings only. None: nothing."""
    if told.change not in _WORKFLOW:
        return None
    f = told.finding
    return {
        "FindingIdentifiers": [{"Id": finding_id(f, home), "ProductArn": product_arn(home)}],
        "Workflow": {"Status": _WORKFLOW[told.change]},
        "Note": {"Text": quoting.cut(news(told, settings), NOTE_LIMIT), "UpdatedBy": "mfa-delete-guardrail"},
    }


def _is_over(told: Told) -> bool:
    return told.change is not Change.EXEMPTED and ends(told.finding, told.change)


def _compliance(told: Told) -> str:
    if told.change is Change.RESOLVED:
        return "PASSED"
    is_unknown = told.finding.control == STATE_UNVERIFIABLE.id or _is_over(told)
    return "NOT_AVAILABLE" if is_unknown else "FAILED"


def _resource(f: Finding, settings: Settings) -> dict[str, str]:
    place = {"Partition": settings.partition, "Region": f.bucket.region}
    if f.bucket.is_bucket:
        return {"Type": "AwsS3Bucket", "Id": f"arn:{settings.partition}:s3:::{f.bucket.name}", **place}
    if f.bucket.name == GUARDRAIL:
        return {"Type": "Other", "Id": f"{settings.stack_name} (guardrail)", **place}
    return {"Type": "AwsAccount", "Id": f"AWS::::Account:{f.bucket.account}", **place}


def _remedy(f: Finding, home: Settings) -> str:
    """The command knows our own account and Region alone."""
    if not home.is_home(f.bucket.account, f.bucket.region):
        return "The runbook is in the mail of this finding."
    if f.bucket.is_bucket:
        return f"The runbook of this bucket: {home.command} runbook {f.bucket.name}"
    return f"What is wrong, and what mends it: {home.command} doctor"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
