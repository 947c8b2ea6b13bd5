"""Reports for the browser: one that the real handlers made, with hostile names, and larger ones in its shape."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli import doctor
from cli.report_data import RUNBOOKS, Asked, document
from cli.report_page import page
from cli.stack import Stack
from handlers import bucket_change, sweep, version_delete
from shared.facts import Condition, State
from tests.browser.chromium import Browser
from tests.functional.conftest import ACCOUNT, TAG, Stage, staged
from tests.functional.events import batch, event
from tests.functional.reports import look_at_itself
from tests.functional.test_handlers import TICK, disabled, exempt, protected

HOSTILE = "</script><script>window.pwned=1</script>"
IMAGE = '"><img src="x" onerror="window.pwned=2">'
TURNED = "invoice\u202egpj.exe\u200b \u2066x"
LONG = "w" * 5000


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for all."""
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Three buckets with a history by the real handlers, and whatever others may choose chosen badly."""
    with pytest.MonkeyPatch.context() as patch, staged(patch, tmp_path_factory.mktemp("home")) as stage:
        _live(stage)
        return _document(stage, patch)


def _live(stage: Stage) -> None:
    """A month of three buckets."""
    for name in ("archive", "vault"):
        protected(stage, name)
    stage.bucket("excused")
    exempt(stage, "excused", "2026-10-20", HOSTILE)
    near: Any = [{"Key": "MFA-Delete", "Value": "required"}, {"Key": "note", "Value": HOSTILE}]
    stage.bucket("near", tagged=False)
    stage.s3.put_bucket_tagging(Bucket="near", Tagging={"TagSet": near})
    stage.invoke(sweep.handler, TICK)
    stage.later(days=6)
    stage.invoke(bucket_change.handler, disabled(stage, "vault", at=stage.now))
    stage.later(days=2)
    stage.mfa_delete["vault"] = "Enabled"
    stage.invoke(sweep.handler, TICK)
    stage.later(days=3)
    stage.s3.put_bucket_tagging(Bucket="archive", Tagging={"TagSet": [TAG, {"Key": "note", "Value": IMAGE}]})
    stage.denied.add(("GetBucketVersioning", "archive"))
    stage.invoke(sweep.handler, TICK)
    stage.denied.clear()
    stage.later(days=1)
    stage.invoke(sweep.handler, TICK)
    look_at_itself(stage, blind=True)
    stage.later(days=3)
    look_at_itself(stage, blind=False)
    stage.later(days=4)
    stage.s3.put_bucket_versioning(Bucket="archive", VersioningConfiguration={"Status": "Suspended"})
    stage.invoke(sweep.handler, TICK)
    _deletes(stage)
    stage.later(days=2)


def _deletes(stage: Stage) -> None:
    """Refused deletes, two hours apart, by sessions and of keys with names of every bad kind."""
    for number, (key, agent) in enumerate(((HOSTILE, IMAGE), (TURNED, TURNED), (LONG, LONG))):
        identity = {
            "type": "AssumedRole",
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/ops/{(HOSTILE, IMAGE, TURNED)[number]}",
            "accountId": ACCOUNT,
        }
        asked = {"bucketName": "vault", "key": key, "versionId": "3HL4kqtJvjVBH40N"}
        denied = event(
            "delete-object.version-denied", "vault", at=stage.now, event_id=f"e{number}", userIdentity=identity,
            requestParameters=asked, userAgent=agent, requestID=f"r{number}",
        )  # fmt: skip
        stage.invoke(version_delete.handler, batch(denied))
        stage.later(hours=2)


def _document(stage: Stage, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """As the command makes it, of a stack with a name and a version."""
    bad = Condition(about="rule", state=State.BAD, meaning=f"a rule is off {IMAGE}", mend="aws events enable-rule")
    fine = Condition(about="trail", state=State.FINE, meaning="a trail logs what is waited for")
    patch.setattr(doctor, "LOOKS", (lambda _stack: iter([bad, fine]),))
    patch.setattr(boto3, "DEFAULT_SESSION", None)
    patch.setattr(Stack, "_description", {"Outputs": [{"OutputKey": "Version", "OutputValue": "0.1.0"}]})
    patch.setattr(Stack, "physical", lambda _self, kind: [kind])
    patch.setattr(Stack, "settings", stage.guard.settings)
    patch.setattr(Stack, "guard", stage.guard)
    asked = Asked(since=stage.now - timedelta(days=30), until=stage.now, at=None, now=stage.now)
    return document(Stack("guardrail"), asked)


def many(small: dict[str, Any], count: int) -> dict[str, Any]:
    """So many buckets, a third with a finding, in the shape of the small one's."""
    models = {one["name"]: one for one in small["buckets"]}
    buckets: list[dict[str, Any]] = []
    findings: list[dict[str, Any]] = []
    for number in range(count):
        name = f"bucket-{number:04}"
        buckets.append(models[("vault", "excused", "archive")[number % 3]] | {"name": name})
        if number % 3 == 2:
            like = {"bucket": name, "about": name, "id": f"{number:08x}"}
            findings.append(small["findings"][number // 3 % 2] | like)
            if len(findings) > RUNBOOKS:
                findings[-1] |= {"runbook": None, "runbook_like": findings[0]["id"]}
    thirds = {name: (count + 2 - place) // 3 for place, name in enumerate(("protected", "exempt", "suspended"))}
    population = small["population"] | {"buckets": count + 345, "not_enrolled": 345, "enrolled": count} | thirds
    return small | {"buckets": buckets, "findings": findings, "population": population}


@pytest.fixture(scope="session")
def small_file(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small report."""
    return _written(small, tmp_path_factory)


@pytest.fixture(scope="session")
def large_file(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 2,000 buckets."""
    return _written(many(small, 2000), tmp_path_factory)


@pytest.fixture(scope="session")
def middle_file(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of more than one page, for what draws all rows."""
    return _written(many(small, 300), tmp_path_factory)


def _written(said: dict[str, Any], paths: pytest.TempPathFactory) -> Path:
    file = paths.mktemp("report") / "report.html"
    file.write_text(page(said), encoding="utf-8")
    return file
