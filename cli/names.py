"""A bucket by the name that a person types."""

import re

from cli.screen import printable
from cli.stack import Stack, Trouble
from shared.facts import BucketKey

_NAME = re.compile(r"[A-Za-z0-9._-]{3,255}")  # old buckets have longer names, and capitals
_NO_BUCKETS = {
    "--x-s3": "a directory bucket: it keeps no versions, so there is nothing for MFA delete to protect",
    "--table-s3": "a table bucket: it has no versioning, and so no MFA delete",
    "-s3alias": "an access point's alias; give the name of the bucket behind it",
}


def why_no_bucket(name: str) -> str:
    """What is wrong with the name, in one sentence; empty if it may be a bucket's."""
    for ending, what in _NO_BUCKETS.items():
        if name.endswith(ending):
            return f"{printable(name)} is {what}"
    if not _NAME.fullmatch(name):
        return f'"{printable(name)}" is no name of a bucket; give the name alone, without s3:// or arn:'
    return ""


def key_of(stack: Stack, name: str) -> BucketKey:
    """The bucket of this account and Region. Raises Trouble when it can be none by its name."""
    if wrong := why_no_bucket(name):
        raise Trouble(wrong)
    return BucketKey(account=stack.settings.account_id, region=stack.settings.aws_region, name=name)
