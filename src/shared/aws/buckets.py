"""Read buckets live. A refused read is a value, Unreadable; a missing bucket is Gone; anything else is raised."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from shared.aws.calling import CONFIG, code, message
from shared.exemption import REASON_TAG, UNTIL_TAG
from shared.facts import BucketKey, BucketState, Exemption, Gone, MfaDelete, Reading, Tags, Unreadable, Versioning
from shared.quoting import redact

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_REFUSED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403"}


class Buckets:
    """The S3 reads that the guardrail makes: tags, versioning and, for a runbook, lifecycle rules."""

    def __init__(self, tag_key: str, tag_value: str, client: "S3Client | None" = None) -> None:
        self._tag = (tag_key, tag_value)
        self._s3 = client or boto3.client("s3", config=CONFIG)

    def read(self, bucket: BucketKey, *, judged_before: bool) -> Reading:
        """Tags first; versioning only if the bucket is enrolled or was judged before. At most two requests."""
        tags = self.tags(bucket)
        if isinstance(tags, Unreadable | Gone):
            return tags
        if not (tags.tagged or judged_before):
            return BucketState(tagged=False, versioning=Versioning.NEVER_SET, mfa_delete=MfaDelete.NEVER_SET)
        return self.versioning(bucket, tags)

    def versioning(self, bucket: BucketKey, tags: Tags) -> Reading:
        """Read versioning and MFA delete; `tags` is what is known of the bucket's tags. One request."""
        try:
            answer = self._s3.get_bucket_versioning(Bucket=bucket.name, ExpectedBucketOwner=bucket.account)
        except ClientError as error:
            return _refused_or_gone(error, "s3:GetBucketVersioning", tagged=tags.tagged)
        # Both members are absent until somebody sets them (S3 API reference, GetBucketVersioning).
        return BucketState(
            tagged=tags.tagged,
            exemption=tags.exemption,
            versioning=Versioning(answer.get("Status", Versioning.NEVER_SET)),
            mfa_delete=MfaDelete(answer.get("MFADelete", MfaDelete.NEVER_SET)),
        )

    def lifecycle_rules(self, bucket: BucketKey) -> tuple[str, ...] | Unreadable:
        """The ids of the lifecycle rules, disabled ones too: any of them makes S3 refuse to turn MFA delete on."""
        try:
            answer = self._s3.get_bucket_lifecycle_configuration(Bucket=bucket.name, ExpectedBucketOwner=bucket.account)
        except ClientError as error:
            if code(error) in {"NoSuchLifecycleConfiguration", "NoSuchBucket"}:
                return ()
            if code(error) not in _REFUSED:
                raise
            return _unreadable(error, "s3:GetLifecycleConfiguration", tagged=True)
        return tuple(rule.get("ID", "(without id)") for rule in answer.get("Rules", []))

    def tags(self, bucket: BucketKey) -> Tags | Unreadable | Gone:
        """What the bucket's tags say now. One request."""
        try:
            answer = self._s3.get_bucket_tagging(Bucket=bucket.name, ExpectedBucketOwner=bucket.account)
        except ClientError as error:
            if code(error) == "NoSuchTagSet":
                return Tags(tagged=False)
            return _refused_or_gone(error, "s3:GetBucketTagging", tagged=False)
        found = {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}
        return Tags(tagged=found.get(self._tag[0]) == self._tag[1], exemption=_exemption(found))


def _exemption(tags: Mapping[str, str]) -> Exemption | None:
    until, reason = tags.get(UNTIL_TAG, ""), tags.get(REASON_TAG, "")
    return Exemption(until=until[:256], reason=reason[:256]) if UNTIL_TAG in tags or REASON_TAG in tags else None


def _refused_or_gone(error: ClientError, action: str, *, tagged: bool) -> Unreadable | Gone:
    if code(error) == "NoSuchBucket":
        return Gone()
    if code(error) in _REFUSED:
        return _unreadable(error, action, tagged=tagged)
    raise error


def _unreadable(error: ClientError, action: str, *, tagged: bool) -> Unreadable:
    return Unreadable(tagged=tagged, action=action, error_code=code(error), error_message=redact(message(error))[:1024])


class Enrolment:
    """Which buckets carry the protection tag, as the Tagging API has it: late, and with ghosts."""

    def __init__(self, tag_key: str, tag_value: str) -> None:
        self._filters = [{"Key": tag_key, "Values": [tag_value]}]
        self._tagging = boto3.client("resourcegroupstaggingapi", config=CONFIG)

    def names(self) -> Iterator[str]:
        """Names of the buckets of this Region that carry the tag, a request per hundred."""
        pages = self._tagging.get_paginator("get_resources").paginate(
            TagFilters=self._filters,  # type: ignore[arg-type]  # the stubs want their own TypedDict
            ResourceTypeFilters=["s3"],
            PaginationConfig={"PageSize": 100},
        )
        for page in pages:
            for resource in page["ResourceTagMappingList"]:
                _, _, name = resource["ResourceARN"].partition(":s3:::")
                if name:  # access points and the like have an account id between the colons
                    yield name
