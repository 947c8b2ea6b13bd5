"""What the verbs call on moto stands in the table of what people are granted (tests/template/test_grants.py)."""

from typing import Any

import boto3
import pytest

from cli.stack import Stack
from handlers import sweep
from shared.aws import calling
from shared.guardrail import Guardrail
from tests.functional.commands import Desk, as_deployed
from tests.functional.conftest import Stage
from tests.functional.test_contain_verb import policy
from tests.functional.test_handlers import TICK
from tests.functional.trails import DEFAULT
from tests.template.test_grants import OPERATOR, READER

ACTIONS = {
    "ListBuckets": {"s3:ListAllMyBuckets"},
    "GetBucketLifecycleConfiguration": {"s3:GetLifecycleConfiguration"},
    "GetBucketNotificationConfiguration": {"s3:GetBucketNotification"},
    "TransactWriteItems": {"dynamodb:PutItem"},  # the store's transactions hold Puts only
    "Invoke": {"lambda:InvokeFunction"},
    "GetCallerIdentity": set(),
}
"""Operations that are no actions of their own name."""
PREFIXES = {"resource-groups-tagging-api": "tag", "s3-control": "s3"}


@pytest.fixture
def called(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a verb with clients of its own, and say which IAM actions it needed."""
    desk = as_deployed(stage, monkeypatch, capsys)
    stage.bucket("vault")
    stage.bucket("bare", tagged=False)
    stage.bucket("trail-logs", tagged=False)
    cloudtrail: Any = boto3.client("cloudtrail")
    cloudtrail.create_trail(Name="main", S3BucketName="trail-logs")
    cloudtrail.put_event_selectors(TrailName="main", EventSelectors=DEFAULT)
    stage.invoke(sweep.handler, TICK)
    found: set[str] = set()

    def note(**told: Any) -> None:
        model = told["model"]
        service = model.service_model.service_id.hyphenize()
        found.update(ACTIONS.get(model.name, {f"{PREFIXES.get(service, service)}:{model.name}"}))

    def run(*words: str) -> tuple[Desk, set[str]]:
        found.clear()
        calling.sign_in()
        calling.session().register("before-parameter-build.*.*", note)
        monkeypatch.setattr("cli.stack.sign_in", lambda *_: None)
        monkeypatch.setattr(Stack, "guard", Guardrail(stage.guard.settings, stage.guard.clock))
        result = desk.run(*words)
        assert result.exception is None, result.exception
        return desk, set(found)

    return run


# doctor, and what needs functions or queues, runs in tests/e2e/test_operator.py with the policies themselves
RUNS = [
    ("status", ["status"], READER),
    ("runbook", ["runbook", "vault"], READER),
    ("selectors", ["selectors", "--trail", "main"], READER),
    ("selectors --write", ["selectors", "--trail", "main", "--write"], OPERATOR),
    ("protect", ["protect", "bare"], OPERATOR),
    ("contain", ["contain", "vault"], OPERATOR),
    ("contain", ["contain", "vault", "--undo"], OPERATOR),
]


def test_each_verb_calls_nothing_that_its_line_of_the_table_does_not_grant(called: Any) -> None:
    for verb, words, table in RUNS:
        _, actions = called(*words)
        assert actions <= table[verb], verb


def test_what_protect_and_contain_are_granted_they_call(called: Any) -> None:
    desk, protected = called("protect", "bare")
    stack = {"cloudformation:DescribeStacks"}  # not asked here: the stack is pretended
    assert protected == OPERATOR["protect"] - stack - {"s3:TagResource"}
    _, contained = called("contain", "vault")
    assert policy(desk)
    _, undone = called("contain", "vault", "--undo")
    assert contained | undone == OPERATOR["contain"] - stack
