"""What `guardrail uninstall` looks at: the stack, and the buckets that it watches, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from botocore.exceptions import ClientError

from cli.contain import has_statement
from cli.screen import at_once
from cli.stack import Stack, Trouble
from shared.aws.buckets import Enrolment
from shared.aws.calling import AWS_ERRORS, code, is_refused
from shared.exemption import REASON_TAG, UNTIL_TAG
from shared.facts import BucketKey, BucketState, Gone, MfaDelete, Reading, Tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One that is enrolled or judged, or carries our tags.

    `contained`: its policy has our statement; `refused`: why nobody knows.
    """

    name: str
    tags: Mapping[str, str]
    reading: Reading
    contained: bool
    refused: str = ""

    @property
    def has_mfa_delete(self) -> bool:
        """Whether it is on."""
        return isinstance(self.reading, BucketState) and self.reading.mfa_delete is MfaDelete.ENABLED


class Room:
    """The stack, and the buckets that it watches, read once."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.told = stack, stack.settings
        self.where = f"--region {self.told.aws_region}"

    @cached_property
    def watched(self) -> list[str]:
        """Names of the buckets that nobody will watch any more; those that are gone need nobody."""
        gone = {bucket.name for bucket in self._found if isinstance(bucket.reading, Gone)}
        return [name for name in self._known if name not in gone]

    @cached_property
    def buckets(self) -> list[Bucket]:
        """Those, and all others that carry one of our tags."""
        return [bucket for bucket in self._found if not isinstance(bucket.reading, Gone)]

    @cached_property
    def _known(self) -> list[str]:
        return self.stack.watched()

    @cached_property
    def _found(self) -> list[Bucket]:
        """Ghosts among them: the Tagging API, and the table, know buckets that are gone."""
        ours = {self.told.protect_tag_key, UNTIL_TAG, REASON_TAG}
        tagged = {name: {k: v for k, v in tags.items() if k in ours} for name, tags in Enrolment("", "").all_tagged()}
        names = {name for name, tags in tagged.items() if self._is_ours(tags)} | {*self._known}
        names -= {self.told.canary_bucket}
        return at_once("reading buckets", lambda name: self._read(name, tagged.get(name, {})), sorted(names))

    def _is_ours(self, tags: Mapping[str, str]) -> bool:
        return tags.get(self.told.protect_tag_key) == self.told.protect_tag_value or UNTIL_TAG in tags

    def _read(self, name: str, tags: Mapping[str, str]) -> Bucket:
        key = BucketKey(account=self.told.account_id, region=self.told.aws_region, name=name)
        refused = ""
        try:
            contained = has_statement(self.stack, key)
        except (*AWS_ERRORS, Trouble) as error:
            contained, refused = False, why(error)
        reading = self.stack.guard.buckets.versioning(key, Tags(tagged=True))
        return Bucket(name=name, tags=tags, reading=reading, contained=contained, refused=refused)


def why(error: Exception) -> str:
    """What an error of AWS's means for what was to be read."""
    if not isinstance(error, ClientError):
        return str(error)
    return f"{error.operation_name} {'is refused' if is_refused(error) else 'failed'} ({code(error)})"
