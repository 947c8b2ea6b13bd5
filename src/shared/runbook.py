"""runbook/RUNBOOK.md filled in for one bucket."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from shared.facts import BucketKey, Lifecycle, Unreadable
from shared.quoting import quoted
from shared.settings import Settings

_BLANK = re.compile(r"\{\{([a-z0-9_]+)\}\}")
_TURN_ON = "{{turn_on}}"
_SECTION = re.compile(r"^## ([a-z][a-z0-9-]+)$", re.MULTILINE)

CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
"""Console hosts by partition (AWS General Reference)."""


@cache
def sections() -> Mapping[str, str]:
    """Heading -> text. A heading is a `##` line in kebab-case; headings of steps have blanks or capitals."""
    parts = _SECTION.split(Path(__file__).with_name("RUNBOOK.md").read_text(encoding="utf-8"))
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def filled(heading: str, bucket: BucketKey, settings: Settings, obstacles: str, finding: str = "ID") -> str:
    """The section for this bucket, in Markdown. Raises KeyError for a heading or a blank that does not exist.

    finding: its eight digits, as its alert shows them.
    """
    words = {
        "bucket": bucket.name,
        "region": bucket.region,
        "account": settings.account_label,
        "account_id": bucket.account,
        "console": console(settings) or "the AWS Management Console",
        "script_sha256": settings.script_sha256,
        "tag": f"{settings.protect_tag_key}={settings.protect_tag_value}",
        "obstacles": obstacles,
        "stack": settings.stack_name,
        "home": settings.aws_region,
        "finding": finding,
    }
    page = sections()[heading].replace(_TURN_ON, sections()["turn-mfa-delete-on"])
    return _BLANK.sub(lambda blank: words[blank[1]], page)


def console(settings: Settings) -> str:
    """The console's address; empty for a partition that we do not know: root must not be sent to a guess."""
    host = CONSOLES.get(settings.partition, "")
    return f"https://{host}" if host else ""


RULES_SHOWN = 10


def lifecycle_obstacle(bucket: BucketKey, rules: tuple[str, ...]) -> str:
    """What to do first about a lifecycle configuration: S3 refuses MFA delete beside one, disabled rules included.

    rules: their ids, which whoever wrote them chose; they are shown in a code block, where Markdown means nothing.
    """
    shown = "\n".join([quoted(rule) for rule in rules[:RULES_SHOWN]] + _more(len(rules) - RULES_SHOWN))
    where = f"--bucket {bucket.name} --region {bucket.region} --expected-bucket-owner {bucket.account}"
    save = f"aws s3api get-bucket-lifecycle-configuration {where} --query '{{Rules: Rules}}' --output json"
    return f"""## First: a lifecycle configuration is in the way

S3 refuses MFA delete on a bucket that has a lifecycle configuration, even one whose rules are all disabled. It has:

```text
{shown}
```

If the statement `DenyPermanentDeletes` was added to the bucket's policy, take it out first: it refuses this too.
Save the configuration, then remove it; it cannot be put back while MFA delete is on, so old versions will be kept until
somebody deletes them with a code. If the bucket cannot do without it, MFA delete is not for this bucket.

```sh
{save} > lifecycle-{bucket.name}-$(date +%s).json && aws s3api delete-bucket-lifecycle {where}
```
"""


def _more(count: int) -> list[str]:
    return [f"and {count} more"] if count > 0 else []


NO_OBSTACLE = "No lifecycle configuration was found on the bucket when this page was made: nothing is in the way."


def unknown_obstacle(refusal: str) -> str:
    """When the lifecycle configuration may not be read: said, not guessed."""
    return (
        f"Whether a lifecycle configuration is in the way could not be read ({refusal}). If S3 answers "
        "`InvalidBucketState` in step 5, one is: remove it first."
    )


def obstacle(bucket: BucketKey, lifecycle: Lifecycle | Unreadable | None) -> str:
    """The paragraph about what stands in the way; None: MFA delete is on, so that there can be none."""
    if isinstance(lifecycle, Unreadable):
        return unknown_obstacle(f"{lifecycle.error_code}, {lifecycle.action}")
    return lifecycle_obstacle(bucket, lifecycle.rules) if lifecycle and lifecycle.rules else NO_OBSTACLE
