"""The operator's command on moto as a person starts it, for the verbs that need no function of the stack."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from cli import main as command
from cli import readback
from cli.stack import Stack
from tests.functional.conftest import Stage


@dataclass
class Desk:
    """A stage with a stack on it, as the command sees both; what the command's own clients asked, and were answered.

    errors: the code that a call on a bucket is answered with. meanwhile: what others do just before a call.
    """

    stage: Stage
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    errors: dict[tuple[str, str], str] = field(default_factory=dict)
    meanwhile: dict[str, Callable[[], object]] = field(default_factory=dict)
    regions: dict[str, str] = field(default_factory=dict)

    def watch(self, client: Any) -> Any:
        """Note what is asked, and answer as the test wants it."""

        def before(params: dict[str, Any], model: Any, **_: Any) -> None:
            self.sent.append((model.name, json.loads(json.dumps(params, default=str))))
            if happens := self.meanwhile.pop(model.name, None):
                happens()
            if code := self.errors.get((model.name, params.get("Bucket") or params.get("ResourceArn", ""))):
                raise ClientError({"Error": {"Code": code, "Message": f"{code} it is"}}, model.name)

        def located(parsed: dict[str, Any], **_: Any) -> None:
            for each in parsed["Buckets"]:
                each["BucketRegion"] = self.regions.get(each["Name"], "us-east-1")  # moto leaves it out

        client.meta.events.register("before-parameter-build.*.*", before, unique_id="desk-before")
        client.meta.events.register("after-call.s3.ListBuckets", located, unique_id="desk-located")
        return client

    def asked(self, *operations: str) -> list[dict[str, Any]]:
        """The parameters of the calls of these operations."""
        return [parameters for operation, parameters in self.sent if operation in operations]

    def run(self, *words: str, columns: int = 80, stdin: str = "") -> Result:
        """Run it; no exception may come out but those that `main` turns into a sentence."""
        runner = CliRunner(mix_stderr=False)
        return runner.invoke(
            command.guardrail, words, standalone_mode=False, env={"COLUMNS": str(columns)}, input=stdin
        )

    def said(self, *words: str) -> dict[str, Any]:
        """Its JSON object; it must be one and alone."""
        result = self.run(*words, "--json")
        assert result.exception is None, result.exception
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    def main(self, *words: str) -> tuple[Any, str, str]:
        """Exit code, stdout and stderr of the command as it is installed."""
        self.capture.readouterr()
        self.patch.setattr("sys.argv", ["guardrail", *words])
        with pytest.raises(SystemExit) as left:
            command.main()
        streams = self.capture.readouterr()
        assert "Traceback" not in streams.out + streams.err
        return left.value.code, streams.out, streams.err

    def refusal(self, *words: str) -> str:
        """The one sentence it refuses with, on stderr, nothing else being said."""
        code, out, err = self.main(*words)
        assert (code, out) == (3, ""), (code, out, err)
        assert err.startswith("guardrail: ")
        assert err.count("\n") == 1
        return err.removeprefix("guardrail: ").rstrip("\n")


def as_deployed(stage: Stage, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> Desk:
    """A deployed stack; moto's CloudFormation wants more than is installed."""
    desk, real = Desk(stage, patch, capture), Stack.client
    patch.setattr(Stack, "client", lambda self, service, region=None: desk.watch(real(self, service, region)))
    patch.setattr(readback, "PAUSE_S", 0)
    patch.setattr(boto3, "DEFAULT_SESSION", None)
    patch.setattr(Stack, "exists", True)
    patch.setattr(Stack, "outputs", {})
    patch.setattr(Stack, "physical", lambda _self, _kind: [])
    patch.setattr(Stack, "guard", stage.guard)
    patch.setattr(Stack, "settings", stage.guard.settings)
    return desk
