"""Read buckets and root live. A refused read is a value, Unreadable; a missing bucket is Gone; all else is raised."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.aws.calling import client, code, is_refused, message
from shared.exemption import REASON_TAG, UNTIL_TAG
from shared.expiry import lifecycle_of
from shared.facts import (
    BucketKey,
    BucketState,
    Exemption,
    Gone,
    Lifecycle,
    MfaDelete,
    Reading,
    RootState,
    Tags,
    Unreadable,
    Versioning,
)
from shared.quoting import redact

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_resourcegroupstaggingapi import ResourceGroupsTaggingAPIClient
    from mypy_boto3_s3 import S3Client


class Buckets:
    """The S3 reads that the guardrail makes: tags, versioning, and lifecycle rules where they may matter."""

    def __init__(
        self,
        tag_key: str,
        tag_value: str,
        own: "S3Client | None" = None,
        elsewhere: "Callable[[BucketKey], S3Client | None]" = lambda _bucket: None,
    ) -> None:
        """`elsewhere` gives the client for a bucket of another account or Region; raises where its role is refused."""
        self._tag = (tag_key, tag_value)
        self._s3: S3Client = own or client("s3")
        self._elsewhere = elsewhere

    def _of(self, bucket: BucketKey) -> "S3Client":
        return self._elsewhere(bucket) or self._s3

    def read(self, bucket: BucketKey, *, judged_before: bool, with_lifecycle: bool = False) -> Reading:
        """Tags first; versioning only if the bucket is enrolled or was judged before. At most two requests.

        with_lifecycle: a third one for the lifecycle configuration, where there can be one.
        """
        tags = self.tags(bucket)
        if isinstance(tags, Unreadable | Gone):
            return tags
        if not (tags.tagged or judged_before):
            return BucketState(tagged=False, versioning=Versioning.NEVER_SET, mfa_delete=MfaDelete.NEVER_SET)
        return self.versioning(bucket, tags, with_lifecycle=with_lifecycle)

    def versioning(self, bucket: BucketKey, tags: Tags, *, with_lifecycle: bool = False) -> Reading:
        """Read versioning and MFA delete; `tags` is what is known of the bucket's tags. One request, or two."""
        try:
            answer = self._of(bucket).get_bucket_versioning(Bucket=bucket.name, ExpectedBucketOwner=bucket.account)
        except ClientError as error:
            return _refused_or_gone(error, "s3:GetBucketVersioning", tagged=tags.tagged)
        # Both members are absent until somebody sets them (S3 API reference, GetBucketVersioning).
        state = BucketState(
            tagged=tags.tagged,
            exemption=tags.exemption,
            versioning=Versioning(answer.get("Status", Versioning.NEVER_SET)),
            mfa_delete=MfaDelete(answer.get("MFADelete", MfaDelete.NEVER_SET)),
        )
        # With MFA delete on, S3 accepts no lifecycle configuration.
        if with_lifecycle and state.mfa_delete is not MfaDelete.ENABLED:
            return replace(state, lifecycle=self.lifecycle(bucket, state.versioning))
        return state

    def lifecycle(self, bucket: BucketKey, versioning: Versioning = Versioning.ENABLED) -> Lifecycle | Unreadable:
        """The lifecycle configuration; `versioning` says what an expiration of current versions does. One request."""
        try:
            client = self._of(bucket)
            answer = client.get_bucket_lifecycle_configuration(Bucket=bucket.name, ExpectedBucketOwner=bucket.account)
        except ClientError as error:
            if code(error) in {"NoSuchLifecycleConfiguration", "NoSuchBucket"}:
                return Lifecycle()
            if not is_refused(error):
                raise
            return _unreadable(error, "s3:GetLifecycleConfiguration", tagged=True)
        return lifecycle_of(answer.get("Rules", []), versioning)

    def tags(self, bucket: BucketKey) -> Tags | Unreadable | Gone:
        """What the bucket's tags say now. One request."""
        try:
            answer = self._of(bucket).get_bucket_tagging(Bucket=bucket.name, ExpectedBucketOwner=bucket.account)
        except ClientError as error:
            if code(error) == "NoSuchTagSet":
                return Tags(tagged=False)
            return _refused_or_gone(error, "s3:GetBucketTagging", tagged=False)
        return tags_of({tag["Key"]: tag["Value"] for tag in answer["TagSet"]}, *self._tag)


def tags_of(found: Mapping[str, str], key: str, value: str) -> Tags:
    """What a bucket's tags say to us; `key` and `value` are the protection tag's."""
    tagged = found.get(key) == value
    return Tags(tagged=tagged, exemption=_exemption(found), near="" if tagged else near_miss(found, key, value))


def near_miss(tags: Mapping[str, str], key: str, value: str) -> str:
    """A tag that looks like the protection tag (case, blanks, - and _, another value) and is not, as `key=value`."""
    alike = (
        f"{name}={tags[name]}" for name in tags if _folded(name) == _folded(key) and (name, tags[name]) != (key, value)
    )
    return next(alike, "")[:400]


def _folded(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _exemption(tags: Mapping[str, str]) -> Exemption | None:
    until, reason = tags.get(UNTIL_TAG, ""), tags.get(REASON_TAG, "")
    return Exemption(until=until[:256], reason=reason[:256]) if UNTIL_TAG in tags or REASON_TAG in tags else None


def _refused_or_gone(error: ClientError, action: str, *, tagged: bool) -> Unreadable | Gone:
    if code(error) == "NoSuchBucket":
        return Gone()
    if is_refused(error):
        return _unreadable(error, action, tagged=tagged)
    raise error


def _unreadable(error: ClientError, action: str, *, tagged: bool) -> Unreadable:
    if error.operation_name == "AssumeRole":
        action = "sts:AssumeRole"
    return Unreadable(tagged=tagged, action=action, error_code=code(error), error_message=redact(message(error))[:1024])


class Enrolment:
    """Which buckets carry the protection tag, as the Tagging API has it: late, and with ghosts."""

    def __init__(self, tag_key: str, tag_value: str, own: "ResourceGroupsTaggingAPIClient | None" = None) -> None:
        self._tag = (tag_key, tag_value)
        self._tagging: ResourceGroupsTaggingAPIClient = own or client("resourcegroupstaggingapi")

    def buckets(self) -> Iterator[tuple[str, Tags]]:
        """Names and tags of the buckets of this Region that carry the tag, a request per hundred."""
        key, value = self._tag
        for name, found in self._listed([{"Key": key, "Values": [value]}]):
            yield name, tags_of(found, *self._tag)

    def all_tagged(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Names and tags of all buckets of this Region that carry, or ever carried, any tag."""
        return self._listed([])

    def _listed(self, filters: list[dict[str, Any]]) -> Iterator[tuple[str, Mapping[str, str]]]:
        pages = self._tagging.get_paginator("get_resources").paginate(
            TagFilters=filters,  # type: ignore[arg-type]  # the stubs want their own TypedDict
            ResourceTypeFilters=["s3"],
            PaginationConfig={"PageSize": 100},
        )
        for page in pages:
            for resource in page["ResourceTagMappingList"]:
                _, _, name = resource["ResourceARN"].partition(":s3:::")
                if name:  # access points and the like have an account id between the colons
                    yield name, {tag["Key"]: tag["Value"] for tag in resource.get("Tags", [])}


class RootUser:
    """What IAM tells any permitted role about the account's root user. No event asks: the sweep and the command do."""

    def __init__(self, own: "IAMClient | None" = None) -> None:
        self._iam: IAMClient = own or client("iam")

    def read(self, account: str) -> RootState | Unreadable:
        """Keys, password and devices of root. One request, or two where root has a device."""
        try:
            summary = self._iam.get_account_summary()["SummaryMap"]
            has_device = bool(summary.get("AccountMFAEnabled"))
            codes = has_device and self._shows_codes(account)
        except ClientError as error:
            if not is_refused(error):
                raise
            action = {"GetAccountSummary": "iam:GetAccountSummary"}.get(
                error.operation_name, "iam:ListVirtualMFADevices"
            )
            return _unreadable(error, action, tagged=True)
        return RootState(
            access_key=bool(summary.get("AccountAccessKeysPresent")),
            # Absent from old answers: then a password is assumed, which is the stricter reading.
            password=bool(summary.get("AccountPasswordPresent", 1)),
            device=has_device,
            codes=codes,
        )

    def _shows_codes(self, account: str) -> bool:
        """Whether a virtual device is root's; hardware tokens and passkeys are in no list that a role may read."""
        pages = self._iam.get_paginator("list_virtual_mfa_devices").paginate(AssignmentStatus="Assigned")
        owners = (device.get("User", {}).get("Arn", "") for page in pages for device in page["VirtualMFADevices"])
        return any(owner.endswith(f":{account}:root") for owner in owners)
