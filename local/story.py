"""The story that the demo lives through and the e2e tests judge: eight steps, each with real API calls."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local import stack
from local.cloud import ROOM, Cloud, Credentials, Mail
from local.terminal import typed

VAULT, OTHER = "example-vault", "example-scratch"
TAG = {"Key": "mfa-delete", "Value": "required"}
OTHER_TAG = {"Key": "team", "Value": "research"}
BATCHING_WINDOW_S = 1.0
ALERT_LIMIT_S = 60.0
QUIET_S = 2.5
"""How long nothing must come where nothing is to be sent: the batching window, and more than the slowest alert took."""


class StepError(Exception):
    """What was to be seen was not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of timeline.json. `alerts` are the subjects that came."""

    step: int
    title: str
    ok: bool
    call_to_alert_ms: float | None
    alerts: tuple[str, ...]


class Story:
    """A deployed stack, the people in the story, and what they saw. Everything is left under `folder`."""

    def __init__(self, cloud: Cloud, outputs: dict[str, str], folder: Path) -> None:
        self.cloud = cloud
        self.outputs = outputs
        self.folder = folder
        self.s3 = cloud.client("s3")
        self.steps: list[Step] = []
        self.reasons: dict[int, str] = {}
        self._seen = 0
        self._kept = 0
        self._versions: dict[str, str] = {}

    def live(self, tell: Callable[[Step, str], None]) -> list[Step]:
        """Live through all steps; one that fails does not stop the story."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._prepare()
        for number, (title, act) in enumerate(STEPS, 1):
            step = self._take(number, title, act)
            self.steps.append(step)
            tell(step, self.reasons.get(number, ""))
        stack.write(self.folder / "timeline.json", json.dumps([asdict(step) for step in self.steps], indent=2) + "\n")
        return self.steps

    def _take(self, number: int, title: str, act: Callable[["Story"], float | None]) -> Step:
        self._seen = len(self._mails())
        took = None
        try:
            took = act(self)
        except (StepError, ClientError, OSError, subprocess.SubprocessError, AssertionError) as wrong:
            self.reasons[number] = str(wrong)
        alerts = tuple(mail.subject for mail in self._mails()[self._seen :])
        self._keep()
        return Step(step=number, title=title, ok=number not in self.reasons, call_to_alert_ms=took, alerts=alerts)

    # Seeing

    def _mails(self, to: str = stack.MAILBOX) -> list[Mail]:
        """What the guardrail sent; an alarm that becomes OK when it gets its first data is no alert."""
        return [mail for mail in self.cloud.mail() if mail.to == to and not mail.subject.startswith("OK: ")]

    def awaited(self, control: str, change: str, called_at: float, *, bucket: str = VAULT) -> float:
        """Wait for exactly one new mail, of this control and change. Returns milliseconds from call to delivery."""

        def fits(mail: Mail) -> bool:
            said = (mail.message_attributes.get("control"), mail.message_attributes.get("change"))
            return mail.to == stack.MAILBOX and said == (control, change) and bucket in mail.body

        deadline = time.monotonic() + ALERT_LIMIT_S
        while not any(fits(mail) for mail in self._mails()[self._seen :]):
            if time.monotonic() > deadline:
                raise StepError(f"no {change} alert of {control} within {ALERT_LIMIT_S:g} s")
            time.sleep(0.01)
        found = next(mail for mail in self._mails()[self._seen :] if fits(mail))
        time.sleep(0.3)
        others = [mail.subject for mail in self._mails()[self._seen :] if mail != found]
        if others:
            raise StepError(f"more came than was due: {others}")
        return round(max(0.0, found.at - called_at) * 1000, 1)

    def last_alert(self) -> dict[str, Any]:
        """The JSON form of the newest alert."""
        hooks = self._mails(stack.HOOK)
        if not hooks:
            raise StepError("no alert has come yet")
        document: dict[str, Any] = json.loads(hooks[-1].body)
        return json.loads(document["Message"]) if "Message" in document else document

    def quiet(self) -> None:
        """Nothing may come."""
        time.sleep(QUIET_S)
        came = [mail.subject for mail in self._mails()[self._seen :]]
        if came:
            raise StepError(f"nothing was to be sent, but there came {came}")

    def called(self, operation: str, *, status: int) -> float:
        """When the newest call of this operation reached S3, in epoch seconds."""
        fitting = [c for c in self.cloud.calls() if c["service"] == "s3" and c["operation"] == operation]
        newest = next((call for call in reversed(fitting) if call["status"] == status), None)
        if newest is None:
            raise StepError(f"no {operation} was answered with {status}")
        return float(newest["at"])

    def _keep(self) -> None:
        """Leave what a person would have received."""
        mails = self._mails()
        hooks = self._mails(stack.HOOK)
        for number in range(self._kept, len(mails)):
            mail = mails[number]
            name = f"{number + 1:02}-{mail.message_attributes.get('control', 'alarm')}"
            stack.write(self.folder / "alerts" / f"{name}.txt", f"Subject: {mail.subject}\n\n{mail.body}\n")
            if number < len(hooks):
                body = json.loads(hooks[number].body)
                alert = json.loads(body["Message"]) if "Message" in body else body
                stack.write(self.folder / "alerts" / f"{name}.json", json.dumps(alert, indent=2) + "\n")
                if alert.get("runbook") and alert["control"].startswith("mfa-delete"):
                    stack.write(self.folder / "runbooks" / f"{alert['bucket']}.md", alert["runbook"] + "\n")
        self._kept = len(mails)

    # Doing

    def _prepare(self) -> None:
        """People, and warm functions: what is measured is the guardrail, not the first start of a process."""
        everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        self.user = self.cloud.create_user("mallory", {"Version": "2012-10-17", "Statement": [everything]})
        stack.sweep(self.cloud, self.outputs)
        self.make_bucket("example-warm-up", tagged=False)
        self.s3.delete_object(Bucket="example-warm-up", Key="report.csv", VersionId=self._versions["example-warm-up"])
        deadline = time.monotonic() + ALERT_LIMIT_S
        while self._tag_reads("example-warm-up") < 2 and time.monotonic() < deadline:
            time.sleep(0.05)

    def _tag_reads(self, bucket: str) -> int:
        reads = [call for call in self.cloud.calls() if call["operation"] == "GetBucketTagging"]
        return sum(bucket in str(call.get("resource", "")) for call in reads)

    def make_bucket(self, name: str, *, tagged: bool) -> None:
        """A bucket with versioning on and one object."""
        self.s3.create_bucket(Bucket=name)
        self.s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [TAG if tagged else OTHER_TAG]})
        self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        put = self.s3.put_object(Bucket=name, Key="report.csv", Body=b"figures")
        self._versions[name] = put["VersionId"]

    def delete_version_as_user(self, bucket: str) -> None:
        """Must be refused for lack of MFA."""
        try:
            self.cloud.client("s3", self.user).delete_object(
                Bucket=bucket, Key="report.csv", VersionId=self._versions[bucket]
            )
        except ClientError as error:
            text = error.response["Error"].get("Message", "")
            if error.response["Error"].get("Code") == "AccessDenied" and "Mfa Authentication must be used" in text:
                return
            raise
        raise StepError("the version was deleted without MFA")

    def aws(self, *words: str, credentials: Credentials | None = None) -> str:
        """The AWS CLI."""
        env = self.cloud.environment(credentials)
        command = ["aws", *words]  # the one of .venv: make sets the PATH
        done = subprocess.run(command, env=env, cwd=ROOM, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepError(f"aws {words[0]} {words[1]}: {done.stderr.strip()}")
        return done.stdout

    def delete_version_as_root(self, bucket: str) -> None:
        """The AWS CLI with `--mfa`."""
        named = ["--bucket", bucket, "--key", "report.csv", "--version-id", self._versions[bucket]]
        self.aws("s3api", "delete-object", *named, "--mfa", self.cloud.mfa())

    def turn(self, bucket: str, mfa_delete: str) -> None:
        """Root sets MFA delete through boto3."""
        configuration = {"Status": "Enabled", "MFADelete": mfa_delete}
        self.s3.put_bucket_versioning(Bucket=bucket, MFA=self.cloud.mfa(), VersioningConfiguration=configuration)

    def expect_on(self) -> None:
        """GetBucketVersioning answers Enabled/Enabled."""
        answer = self.s3.get_bucket_versioning(Bucket=VAULT)
        if (answer.get("Status"), answer.get("MFADelete")) != ("Enabled", "Enabled"):
            raise StepError(f"the bucket is not protected: {answer.get('Status')}/{answer.get('MFADelete')}")

    def runbook(self) -> str:
        """The runbook that came with the newest alert about the vault."""
        page = self.last_alert()["runbook"]
        if not page or f"# Turn MFA delete on: bucket {VAULT}" not in page:
            raise StepError("the alert has no runbook for this bucket")
        return str(page)

    def root_holder(self) -> dict[str, str]:
        """Steps 3 and 4 of the runbook: a temporary access key of root, in a profile of a home of its own."""
        key = self.cloud.client("iam").create_access_key()["AccessKey"]
        env = self.cloud.environment()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            del env[name]
        answers = f"{key['AccessKeyId']}\n{key['SecretAccessKey']}\n{self.cloud.region}\n\n"
        subprocess.run(
            ["aws", "configure", "--profile", "root_user"],  # noqa: S607  # make sets the PATH
            input=answers,
            env=env,
            text=True,
            check=True,
            capture_output=True,
        )
        return env

    def follow(self, page: str, *, by_script: bool) -> None:
        """Run what the runbook says in step 5, as it stands, typing the code when asked."""
        env = self.root_holder()
        _, _, rest = page.partition("\n## 5. ")
        commands = re.findall(r"^```sh\n(.*?)^```$", rest.partition("\n## 6. ")[0], re.M | re.S)
        desk = Path(env["HOME"])
        shutil.copy(ROOM / "runbook" / "mfa_delete.py", desk)
        answers: list[tuple[str, Callable[[], str]]] = [
            (r"\[yes/no\]: ?$", lambda: "yes"),
            (r"(?i)code[^\n]*: ?$", self.cloud.next_code),
            (r"ARN or serial number of the device: ?$", lambda: self.cloud.device.serial),
        ]
        code, screen = typed(["sh", "-c", commands[0 if by_script else 1]], answers, env=env, cwd=desk)
        if code:
            raise StepError(f"the runbook's command ended with {code}:\n{screen}")


def _missing_is_told(story: Story) -> float:
    story.make_bucket(VAULT, tagged=True)
    called_at = time.time()
    stack.sweep(story.cloud, story.outputs)
    took = story.awaited("mfa-delete-missing", "opened", called_at)
    story.runbook()
    return took


def _script_turns_it_on(story: Story) -> float:
    story.follow(story.runbook(), by_script=True)
    story.expect_on()
    return story.awaited("mfa-delete-missing", "resolved", story.called("PutBucketVersioning", status=200))


def _plain_delete_is_silent(story: Story) -> None:
    out = story.aws("s3api", "delete-object", "--bucket", VAULT, "--key", "report.csv", credentials=story.user)
    if not json.loads(out).get("DeleteMarker"):
        raise StepError("no delete marker was made")
    story.quiet()


def _refused_delete_is_told(story: Story) -> float:
    story.delete_version_as_user(VAULT)
    took = story.awaited("version-delete-denied", "opened", story.called("DeleteObject", status=403))
    alert = story.last_alert()
    seen = (alert["principal"], alert["objects"], alert["cause"], bool(alert["at"]), bool(alert["source_ip"]))
    what = [{"key": "report.csv", "version_id": story._versions[VAULT]}]
    if seen != (f"arn:aws:iam::{story.cloud.account}:user/mallory", what, "mfa", True, True):
        raise StepError(f"the alert does not say who, what, when and from where: {seen}")
    return took


def _root_delete_is_told(story: Story) -> float:
    story.delete_version_as_root(VAULT)
    took = story.awaited("version-deleted", "opened", story.called("DeleteObject", status=204))
    if story.last_alert()["principal"] != f"arn:aws:iam::{story.cloud.account}:root":
        raise StepError("the alert does not name root")
    return took


def _turn_off_is_told(story: Story) -> float:
    story.turn(VAULT, "Disabled")
    took = story.awaited("mfa-delete-disabled", "opened", story.called("PutBucketVersioning", status=200))
    alert = story.last_alert()
    if (alert["severity"], alert["principal_type"]) != ("critical", "Root"):
        raise StepError("the alert is not critical, or does not name root")
    story.runbook()
    return took


def _untagged_is_silent(story: Story) -> None:
    story.make_bucket(OTHER, tagged=False)
    story.turn(OTHER, "Enabled")
    story.delete_version_as_user(OTHER)
    story.delete_version_as_root(OTHER)
    story.turn(OTHER, "Disabled")
    stack.sweep(story.cloud, story.outputs)
    story.quiet()


def _cli_turns_it_on(story: Story) -> float:
    story.follow(story.runbook(), by_script=False)
    story.expect_on()
    return story.awaited("mfa-delete-disabled", "resolved", story.called("PutBucketVersioning", status=200))


STEPS: tuple[tuple[str, Callable[[Story], float | None]], ...] = (
    ("a tagged bucket without MFA delete, and the sweep: mfa-delete-missing", _missing_is_told),
    ("root follows that runbook with its script: resolved", _script_turns_it_on),
    ("a user deletes an object: a delete marker, no alert", _plain_delete_is_silent),
    ("the user deletes a version: refused, version-delete-denied", _refused_delete_is_told),
    ("root deletes that version with a code: version-deleted", _root_delete_is_told),
    ("root turns MFA delete off: mfa-delete-disabled", _turn_off_is_told),
    ("a bucket without the tag goes through the same: nothing is sent", _untagged_is_silent),
    ("root follows that runbook with the AWS CLI: resolved", _cli_turns_it_on),
)
