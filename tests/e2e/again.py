"""The stack as `sam deploy` makes it, without running `sam deploy` each time; no tests of its own.

The first one of a test run is deployed by the real command. What that uploaded, packages and template, is kept, and
further clouds are given it the way the command does it: by a change set. test_again.py compares the two. An older
template is given today's package.
"""

import fcntl
import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from local import stack
from local.cloud import Cloud
from tests.e2e.local_setting import until

CREATED = "CREATE_COMPLETE"
LIMIT_S = 60
CODE = "CodeUri: src"
FOLDER = "GUARDRAIL_UPLOADED"
"""The variable that names where the workers of a test run share what was uploaded (conftest.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """What `sam deploy` put into its bucket: objects by key, one of them the template."""

    bucket: str
    objects: dict[str, bytes]

    @property
    def template(self) -> str:
        """Its key."""
        [key] = [each for each in self.objects if each.endswith(".template")]
        return key

    def with_template(self, text: str) -> "Uploaded":
        """Another template with this package, which all functions share."""
        [package] = self.objects.keys() - {self.template}
        assert text.count(CODE) == 1
        packed = text.replace(CODE, f"CodeUri: s3://{self.bucket}/{package}")
        return replace(self, objects={package: self.objects[package], "older.template": packed.encode()})


def deploy(cloud: Cloud, name: str = "guardrail", older: str = "", **parameters: str) -> dict[str, str]:
    """Deploy and confirm the subscriptions, as `stack.deploy` does. Returns the stack's outputs.

    older: the text of a template to be deployed instead of today's.
    """
    uploaded = _uploaded().with_template(older) if older else _uploaded()
    _put(cloud, uploaded)
    wanted = stack.PARAMETERS | parameters
    stacks, named = cloud.client("cloudformation"), {"StackName": name, "ChangeSetName": "again"}
    stacks.create_change_set(
        **named,
        ChangeSetType="CREATE",
        TemplateURL=f"{cloud.endpoint}/{uploaded.bucket}/{uploaded.template}",
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in wanted.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    stacks.execute_change_set(**named)
    until(lambda: _status(stacks, name) != "CREATE_IN_PROGRESS", LIMIT_S)
    assert _status(stacks, name) == CREATED
    cloud.confirm_subscriptions()
    cloud.advance(0)  # the command comes back later than this: what its calls set going is over by then
    return stack.outputs(cloud, name)


def _status(stacks: Any, name: str) -> str:
    return str(stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])


@cache
def _uploaded() -> Uploaded:
    """Of a real deployment; the first to ask makes it, for all workers of this test run."""
    folder = Path(os.environ[FOLDER])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("*/*.template")):
            _download(folder)
    [bucket] = [each for each in folder.iterdir() if each.is_dir()]
    return Uploaded(bucket=bucket.name, objects={each.name: each.read_bytes() for each in bucket.iterdir()})


def _download(folder: Path) -> None:
    """What the real command uploaded to a cloud of its own."""
    with Cloud.start() as cloud:
        stack.deploy(cloud)
        s3 = cloud.client("s3")
        [bucket] = [each["Name"] for each in s3.list_buckets()["Buckets"] if each["Name"].startswith("aws-sam-cli-")]
        (folder / bucket).mkdir()
        for each in s3.list_objects_v2(Bucket=bucket)["Contents"]:
            body = s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
            (folder / bucket / each["Key"]).write_bytes(body)


def _put(cloud: Cloud, uploaded: Uploaded) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=uploaded.bucket)
    for key, body in uploaded.objects.items():
        s3.put_object(Bucket=uploaded.bucket, Key=key, Body=body)
