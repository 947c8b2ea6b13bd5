"""Raw events -> Trigger. Everything a caller can shape is treated as hostile; whatever does not fit is BadEvent.

Sources: CloudTrail record contents and events/README.md; S3's own events: "EventBridge event message structure" in the
S3 user guide.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared import quoting
from shared.facts import (
    BUCKET_CALLS,
    REQUESTER,
    BadEvent,
    BucketKey,
    Cause,
    MfaDelete,
    ObjectVersion,
    Outcome,
    Principal,
    Trigger,
    TriggerKind,
    Versioning,
)

type Event = Mapping[str, Any]

_YEARS = range(1970, 9000)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_ALIAS = re.compile(r".*(-s3alias|--ol-s3|\.mrap)$")
ACCOUNT = re.compile(r"[0-9]{12}")
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}")
_BUCKET_ARN = re.compile(r"arn:[a-z-]+:s3:::([^/]+)(/.*)?", re.DOTALL)
_SESSION_ARN = re.compile(r"arn:([a-z-]+):sts::([0-9]{12}):assumed-role/([^/]+)/(.+)", re.DOTALL)

_MFA_CODES = {"TokenCodeInvalidError", "NotDeviceOwnerError", "DeviceNotActiveError"}
# S3's own sentences (S3 API reference, error responses), compared whole: a policy's refusal quotes keys and
# role names, which the caller chooses.
_MFA_TEXTS = (
    "mfa authentication must be used for this request",
    "this operation may only be performed by the bucket owner",
    "devpay and mfa are mutually exclusive authorization methods",
    "mfa header is invalid",
    "the serial number and/or token code you provided is not valid",
)
_REFUSALS = _MFA_CODES | {"AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidAccessKeyId", "ExpiredToken"}
# Anything that is in neither list is taken for a refusal: better an alert too many than a refusal unseen.
_FAILURES = {
    "AuthorizationHeaderMalformed", "BadDigest", "BucketAlreadyExists", "ConditionalRequestConflict",
    "IllegalVersioningConfigurationException", "InternalError", "InternalFailure", "InvalidArgument",
    "InvalidBucketState", "InvalidDigest", "InvalidRequest", "InvalidURI", "KeyTooLongError", "MalformedXML",
    "MethodNotAllowed", "MissingContentLength", "MissingRequestBodyError", "NoSuchBucket", "NoSuchKey",
    "NoSuchVersion", "NotImplemented", "OperationAborted", "PermanentRedirect", "PreconditionFailed", "Redirect",
    "RequestTimeTooSkewed", "RequestTimeout", "ServiceUnavailable", "SlowDown", "TemporaryRedirect", "Throttling",
    "ThrottlingException", "TooManyRequests",
}  # fmt: skip


def bucket_change(event: Event) -> Trigger:
    """Read a bucket configuration call out of an EventBridge event.

    event: the envelope; `detail` is one CloudTrail record.
    Returns who asked for what on which bucket.
    Raises BadEvent when `detail.eventName` is not subscribed or no bucket is named.
    Source: CloudTrail record contents; events/put-bucket-versioning.root-disables.json
    """
    detail = _s3_record(event)
    name = text(detail, "eventName")
    if name not in BUCKET_CALLS:
        raise BadEvent(f"eventName {quoting.quoted(name)} is not a bucket change that we subscribe to")
    asked = mapping(_one(mapping(detail.get("requestParameters")).get("VersioningConfiguration")))
    return _trigger(
        TriggerKind.BUCKET_CHANGE,
        detail,
        asked_status=_member(Versioning, asked.get("Status")),
        # CloudTrail writes MfaDelete, the S3 API MFADelete (events/README.md)
        asked_mfa_delete=_member(MfaDelete, asked.get("MfaDelete", asked.get("MFADelete"))),
    )


def version_delete(event: Event) -> Trigger:
    """Read a version delete, refused or done, out of an EventBridge event of CloudTrail or of S3 itself.

    Raises BadEvent for anything else, a delete without a version id included.
    Source: events/delete-object.version-denied.json, events/object-deleted.permanently.json
    """
    if text(mapping(event), "detail-type") == "Object Deleted":
        return _object_deleted(event)
    detail = _s3_record(event)
    name = text(detail, "eventName")
    asked = mapping(detail.get("requestParameters"))
    if name == "DeleteObjects" and text(detail, "errorCode"):
        return _trigger(TriggerKind.VERSION_DELETE, detail)  # the record names neither keys nor versions
    if name != "DeleteObject":
        raise BadEvent(f"eventName {quoting.quoted(name)} is not a version delete that we subscribe to")
    version_id = text(asked, "versionId")
    if not version_id and not text(detail, "errorCode"):
        raise BadEvent("DeleteObject without a versionId: it only adds a delete marker")
    version = ObjectVersion(key=text(asked, "key")[:1024], version_id=version_id[:1024])
    # S3 answers so when the version named was itself a delete marker: the object behind it is back.
    was_marker = text(mapping(detail.get("responseElements")), "x-amz-delete-marker") == "true"
    request = text(detail, "requestID")[:256]
    own = (_own_event_id(request, version),) if request and not text(detail, "errorCode") else ()
    return _trigger(TriggerKind.VERSION_DELETE, detail, objects=(version,), restores=was_marker, own_ids=own)


def sweep(event: Event) -> str:
    """What is asked for: `owed`, or a whole sweep by whoever says so. Raises BadEvent for any other event."""
    asked_by = event.get("sweep") if isinstance(event, Mapping) else None
    if not isinstance(asked_by, str) or not asked_by:
        raise BadEvent('the sweep expects {"sweep": "scheduled"}, {"sweep": "by hand"} or {"sweep": "owed"}')
    return asked_by[:64]


def drill(event: Event) -> None:
    """Nothing is in it but that a drill is wanted. Raises BadEvent for any other event."""
    if not (isinstance(event, Mapping) and event.get("drill")):
        raise BadEvent('the drill expects {"drill": "scheduled"} or {"drill": "by hand"}')


def _s3_record(event: Event) -> Mapping[str, Any]:
    if not isinstance(event, Mapping):
        raise BadEvent("the event is not a JSON object")
    if event.get("source") != "aws.s3" or event.get("detail-type") != "AWS API Call via CloudTrail":
        raise BadEvent("the event is not an S3 API call via CloudTrail")
    detail = record(event)
    if detail.get("eventSource") != "s3.amazonaws.com":
        raise BadEvent(f"eventSource {quoting.quoted(text(detail, 'eventSource'))} is not s3.amazonaws.com")
    return detail


def record(event: Event) -> Mapping[str, Any]:
    """The CloudTrail record in an EventBridge event of any service, with the envelope's account. Raises BadEvent."""
    if not isinstance(event, Mapping):
        raise BadEvent("the event is not a JSON object")
    if event.get("detail-type") != "AWS API Call via CloudTrail":
        raise BadEvent("the event is not an API call via CloudTrail")
    detail = event.get("detail")
    if not isinstance(detail, Mapping):
        raise BadEvent("detail is not a CloudTrail record")
    recipient, account = text(detail, "recipientAccountId"), text(event, "account")
    # EventBridge sets the envelope's account, which nobody can forge; the detail is what its sender says.
    if account and account != recipient and ACCOUNT.fullmatch(recipient):
        raise BadEvent(f"the event is account {quoting.quoted(account)}'s, its record is account {recipient}'s: forged")
    return {**detail, "account": account}


def _trigger(kind: TriggerKind, detail: Mapping[str, Any], **rest: Any) -> Trigger:
    recipient = _recipient(detail)
    bucket = BucketKey(account=_owner(detail) or recipient, region=_region(detail), name=_bucket(detail))
    return trigger_of(kind, detail, bucket, event_name=text(detail, "eventName"), recipient=recipient, **rest)


def trigger_of(kind: TriggerKind, detail: Mapping[str, Any], bucket: BucketKey, **rest: Any) -> Trigger:
    """What every record says alike: who, when, from where, and what became of it. Raises BadEvent."""
    code, message = text(detail, "errorCode"), text(detail, "errorMessage")
    outcome = _outcome(code, message)
    return Trigger(
        kind=kind,
        # Caller's and owner's account each get a copy: other eventID, same sharedEventID (CloudTrail record contents).
        event_ids=(text(detail, "sharedEventID")[:256] or _required(detail, "eventID"),),
        request_id=text(detail, "requestID")[:256],
        at=_time(text(detail, "eventTime")),
        bucket=bucket,
        principal=_principal(mapping(detail.get("userIdentity"))),
        source_ip=text(detail, "sourceIPAddress")[:256],
        user_agent=text(detail, "userAgent")[:512],
        outcome=outcome,
        error_code=code[:128],
        error_message=quoting.redact(message)[:1024],
        cause=_cause(code, message) if outcome is Outcome.DENIED else Cause.NONE,
        **rest,
    )


def _outcome(code: str, message: str) -> Outcome:
    if not code:
        return Outcome.DONE
    if code in _REFUSALS or _is_about_mfa(message):
        return Outcome.DENIED
    return Outcome.FAILED if code in _FAILURES else Outcome.DENIED


def _is_about_mfa(message: str) -> bool:
    return message.lower().startswith(_MFA_TEXTS)


def _cause(code: str, message: str) -> Cause:
    said = message.lower()
    if code in _MFA_CODES or _is_about_mfa(message):
        return Cause.MFA
    if said.startswith("access denied because object protected by object lock"):
        return Cause.OBJECT_LOCK
    if "is not authorized to perform:" in said or "with an explicit deny" in said:
        return Cause.POLICY
    return Cause.UNKNOWN


def _bucket(detail: Mapping[str, Any]) -> str:
    """The bucket's name; access point aliases and ARNs are looked up in `resources`."""
    name = text(mapping(detail.get("requestParameters")), "bucketName")
    if not name or name.startswith("arn:") or _ALIAS.fullmatch(name):
        name = next(_bucket_arns(detail), name)
    if not name:
        raise BadEvent("no bucket is named")
    if not _BUCKET.fullmatch(name):
        raise BadEvent(f"{quoting.quoted(name)} is not a bucket name")
    return name


def _bucket_arns(detail: Mapping[str, Any]) -> "filter[str]":
    resources = detail.get("resources")
    arns = (text(mapping(item), "ARN") for item in (resources if isinstance(resources, list) else []))
    matches = (_BUCKET_ARN.fullmatch(arn) for arn in arns)
    return filter(None, (match.group(1) if match else "" for match in matches))


def _recipient(detail: Mapping[str, Any]) -> str:
    """The account whose event it is."""
    account = text(detail, "recipientAccountId") or text(detail, "account")
    if not ACCOUNT.fullmatch(account):
        raise BadEvent("neither recipientAccountId nor account is an account id")
    return account


def _owner(detail: Mapping[str, Any]) -> str:
    """The bucket owner's account: the copy that the caller's account gets names it among its resources."""
    resources = detail.get("resources")
    items = [mapping(item) for item in (resources if isinstance(resources, list) else [])]
    owners = (text(item, "accountId") for item in items if text(item, "type") == "AWS::S3::Bucket")
    return next((owner for owner in owners if ACCOUNT.fullmatch(owner)), "")


def _region(detail: Mapping[str, Any]) -> str:
    region = text(detail, "awsRegion")
    if not REGION.fullmatch(region):
        raise BadEvent(f"awsRegion {quoting.quoted(region)} is not a Region")
    return region


def _principal(identity: Mapping[str, Any]) -> Principal | None:
    kind = text(identity, "type")[:64]
    if not kind:
        return None
    arn, account = text(identity, "arn")[:600], text(identity, "accountId")[:12]
    session = _SESSION_ARN.fullmatch(arn)
    if session:
        issuer = mapping(mapping(identity.get("sessionContext")).get("sessionIssuer"))
        role = f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}"
        return Principal(
            kind=kind, id=text(issuer, "arn")[:600] or role, account=account or session[2], session=session[4]
        )
    # Callers from other accounts and services have no ARN; a role's principalId ends with its session.
    principal_id, _, session_name = text(identity, "principalId")[:600].partition(":")
    name = arn or text(identity, "invokedBy")[:256] or "/".join(filter(None, (account, principal_id)))
    return Principal(kind=kind, id=name or kind, account=account, session="" if arn else session_name)


def _object_deleted(event: Event) -> Trigger:
    detail = event.get("detail")
    if event.get("source") != "aws.s3" or not isinstance(detail, Mapping):
        raise BadEvent("the event is not one of S3's own")
    item = mapping(detail.get("object"))
    version = ObjectVersion(key=text(item, "key")[:1024], version_id=text(item, "version-id")[:1024])
    if detail.get("deletion-type") != "Permanently Deleted" or not version.version_id:
        raise BadEvent("Object Deleted without a version id: nothing was lost for good")
    record = {
        "recipientAccountId": event.get("account"),
        "awsRegion": event.get("region"),
        "requestParameters": {"bucketName": text(mapping(detail.get("bucket")), "name")},
        "userIdentity": {"type": REQUESTER, "principalId": detail.get("requester")},
        "eventTime": event.get("time"),
        "eventName": "Object Deleted",
        "requestID": detail.get("request-id"),
        "eventID": _own_event_id(_required(detail, "request-id"), version),
        "sourceIPAddress": detail.get("source-ip-address"),
    }
    return _trigger(TriggerKind.VERSION_DELETE, record, objects=(version,))


def _own_event_id(request_id: str, version: ObjectVersion) -> str:
    """S3's own events have no eventID: one request may delete many versions, each of them is told once."""
    named = hashlib.sha256(f"{version.key}\0{version.version_id}".encode(errors="surrogatepass")).hexdigest()
    return f"s3#{request_id}#{named[:32]}"


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)
        return at.replace(year=at.year if at.year in _YEARS else 0)  # others cannot be reckoned with: ValueError
    except (ValueError, OverflowError):
        raise BadEvent(f"the time {quoting.quoted(text, 40)} is not ISO 8601") from None


def _required(members: Mapping[str, Any], key: str) -> str:
    found = text(members, key)
    if not found:
        raise BadEvent(f"{key} is missing")
    return found[:256]


def text(members: Mapping[str, Any], key: str) -> str:
    """The member as text. CloudTrail types scalars loosely (a tag value `true` is logged as a boolean)."""
    value = _one(members.get(key))
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        return ""
    return str(value).encode(errors="replace").decode()  # JSON can carry half a surrogate pair, UTF-8 cannot


def loaded(body: str) -> Event:
    """The event that a queue's message holds. Raises BadEvent if it holds none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise BadEvent("the message is not JSON") from None
    if not isinstance(found, Mapping):
        raise BadEvent("the message is not a JSON object")
    return found


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def _one(value: object) -> object:
    """One element is logged as an object, several (and in old records one) as a list."""
    return value[0] if isinstance(value, list) and value else value


def _member[M: (Versioning, MfaDelete)](kind: type[M], value: object) -> M:
    return kind(value) if isinstance(value, str) and value in kind and value != "never set" else kind.NEVER_SET
