#!/usr/bin/env python3
"""Turn MFA delete of S3 buckets on, or off, as the root user, and leave nothing behind.

One file, which needs boto3 and nothing else. What a person reads stands in the tables; after them read `Run.work`, the
order of everything. Codes and secrets are never printed, stored or taken from the command line.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import select
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

try:
    import termios
    from datetime import UTC, datetime, timedelta

    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
except ImportError as missing:
    print(f"mfa_delete.py needs Linux or macOS, Python 3.11 or newer, and boto3: {missing}", file=sys.stderr)
    sys.exit(2)

VERSION = "1.0.0"
ABOUT = f"mfa_delete.py {VERSION} sha256 {hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REFUSED, INTERRUPTED = 3, 4  # exit codes that decide something here
UNTIL, REASON = "mfa-delete-exempt-until", "mfa-delete-exempt-reason"
STAMP, ON = "%Y-%m-%dT%H:%M:%SZ", "Enabled/Enabled"  # state of a bucket: Status/MFADelete, or "never" for each
STEP_S, MAX_WRONG, MAX_KEYS = 30, 3, 1000  # life of a code; wrong codes until the end; keys of a DeleteObjects call
LISTED = ("Versions", "DeleteMarkers")  # members of the answer of ListObjectVersions
RED, GREEN, YELLOW = "31", "32", "33"
EPILOG = """\
examples
  python3 mfa_delete.py check --bucket logs
  python3 mfa_delete.py enable --profile root_user --bucket logs --prove
  python3 mfa_delete.py enable --profile root_user --account 111122223333 --tagged
  python3 mfa_delete.py disable --profile root_user --bucket logs --for 2h --reason "clean-up CHG-42"
  python3 mfa_delete.py delete-version --profile root_user --bucket logs --key a.txt --version-id 3sL4kqtJlcpXroDTDm
exit codes
  0  every bucket is as asked (check, --dry-run: it was so already)
  1  some are not; the table says which and why
  2  usage: nothing was done
  3  refused: wrong credentials, account or device, three wrong codes, or you did not confirm
  4  interrupted; the table says what was done
Only an access key of the root user can change MFA delete; check works with any identity that may read the bucket.
A code is never an argument: it would stay in the shell's history. Before and after: versioning/MFA delete.
"""
AFTERWARDS = """
With MFA delete on, these stop working on the bucket, for everybody:
  - lifecycle rules: none can be added; a bucket that must expire objects cannot have MFA delete
  - deleting versions or delete markers, also in batches: only root with `delete-version`, 1,000 per code
  - changing versioning: Terraform needs `lifecycle { ignore_changes = [versioning_configuration] }` for it
Uploads, reads and plain deletes (they add a delete marker) go on as before.
"""
TEXT = {
    "bad-code": "That is no six-digit code, or one that was used already: each works once. Wait for the next one.",
    "wrong-code": "S3 refused that code ({wrong} of 3): mistyped, too old or used before. Wait for the next one.",
    "tags": f"Tags {UNTIL}={{until}} and {REASON}={{reason}}. 90 days at most by default; other tools may strip them.",
    "kept": "Access key {key} still exists. Once done: aws iam delete-access-key --access-key-id {key}{profile}",
    "gone": "Access key {key} is deleted. With any role, this must print 0 within minutes (else root has another):\n"
    "  aws iam get-account-summary --query SummaryMap.AccountAccessKeysPresent",
    "ended": "Temporary access key deleted, verified. Now sign out: aws logout",
    "no-key": "No temporary key was made, or its id was lost. None is listed; look in the console as root.",
    "temporary": "--temporary-key was never run against AWS itself; a key made in the console is the plain way.",
}
WORDS = {  # what the table below writes in braces
    "again": "Run the same command again: it does only what is left.",
    "key": "Check it (console as root, Security credentials: is it active?), then run aws configure again.",
    "holder": "Hand this command to the person who holds root (docs/root-holder.md).",
    "app": "Console as root, Security credentials, Assign MFA device, Authenticator app (beside a passkey too).",
}
# Code of AWS, class of botocore or our own | piece of AWS's message | exit code | what it means | what to do.
# The first line that fits is taken; exit code 3 ends the run, since the next bucket would fail alike.
ERRORS = """
AccessDenied | mfa authentication must be used | 1 | S3 wants an MFA code with this call. | Use this script as root.
AccessDenied | only be performed by the bucket owner | 3 | Only root of the bucket's own account may do this. | {holder}
AccessDenied | service control policy | 3 | The organization's policy forbids this. | Have root exempted from the SCP.
AccessDenied | object lock | 1 | Object Lock retention or a legal hold protects that version. | Wait for its end.
AccessDenied | explicit deny | 1 | A policy denies it, to root too. | aws s3api get-bucket-policy --bucket {bucket}
AccessDenied | not authorized to perform | 1 | The identity lacks the permission that AWS names. | Use the root user.
AccessDenied AccessDeniedException 403 | | 1 | Refused: another account's bucket, a policy, or the wrong identity. \
| aws sts get-caller-identity{profile}; aws s3api get-bucket-policy --bucket {bucket}{profile}
InvalidRequest root-session | devpay | 3 | These are temporary credentials (aws login, CloudShell, AssumeRoot, \
GetSessionToken); S3 refuses a session token together with an MFA code. | Create a root access key in the console, run \
aws configure --profile root_user, use --profile root_user. aws-vault: exec --no-session. Or try --temporary-key.
iam-user | | 3 | This is an IAM user; only the account's root user may do this, with whatever policies. | {holder}
assumed-role | | 3 | This is an assumed role; only the root user, with an access key of its own, may do this. | {holder}
other | | 3 | This identity is not the root user, who alone may do this. | {holder}
WrongAccount | | 3 | These are credentials of account {account}, not of {wanted}. | Use the other account's root user.
NotConfirmed | | 3 | You did not confirm: nothing was done. | Check account, bucket and versions.
NotNeeded | | 2 | You have a root access key already. | Leave --temporary-key out.
NotDeviceOwnerError WrongDevice | | 3 | The device is not this root user's, or is a passkey. | Leave --mfa-serial out.
NoDevice | | 3 | Root has no device that shows six-digit codes, as passkeys and security keys do not. | {app}
TokenCodeInvalidError | | 3 | The code was mistyped, too old or used before. | Check the device's clock. {again}
DeviceNotActiveError | | 3 | The MFA device is assigned but not active. | {app}
InvalidArgument | mfa header | 3 | S3 cannot read serial number and code. | Give the device's whole ARN: --mfa-serial.
MalformedXML IllegalVersioningConfigurationException | | 1 | An illegal setting, or no MFA code. | Use enable here.
LifecyclePresent InvalidBucketState | lifecycle | 1 | A lifecycle configuration is in the way; rules that are disabled \
count too. | Save and remove it yourself, then run this again: aws s3api get-bucket-lifecycle-configuration \
--bucket {bucket}{profile} --query "{{Rules:Rules}}" --output json > lifecycle-{bucket}-$(date +%s).json && \
aws s3api delete-bucket-lifecycle --bucket {bucket}{profile}
InvalidBucketState | | 1 | The bucket's state forbids this; Object Lock needs versioning to stay on. | {again}
MethodNotAllowed | | 1 | Not allowed here (tags of a bucket with ABAC?). | Change the tags in the console. {again}
InvalidTag BadRequest | | 1 | S3 does not accept the tags (over 50?). | Set the two tags in the console.
TagsNotKept | | 1 | S3 accepted the tags, but still answers others after {wait} s (another tool's?). | {again}
NoSuchTagSet | | 1 | The bucket has no tags, which is normal. | {again}
NoSuchBucket 404 | | 1 | There is no bucket {bucket} (any more). | Check the account: aws s3api list-buckets{profile}
PermanentRedirect 301 400 AuthorizationHeaderMalformed | | 1 | The bucket is in another Region. | Give its --region.
DirectoryBucket | | 1 | Directory buckets have neither versioning nor MFA delete. | Leave it out.
InvalidAccessKeyId InvalidClientTokenId | | 3 | AWS does not know the access key: deleted, inactive, or too new. | {key}
SignatureDoesNotMatch | | 3 | The secret does not belong to the access key (cut off while pasting?). | {key}
NoCredentialsError ProfileNotFound PartialCredentialsError ConfigParseError MissingDependencyException | | 3 | There \
are no credentials that can be used. | aws configure list-profiles; then --profile NAME.
ExpiredToken ExpiredTokenException LoginError CredentialRetrievalError | | 3 | The session has ended. | Sign in again.
RequestTimeTooSkewed | | 3 | This computer's clock is off by more than 15 minutes. | Set the clock.
LimitExceeded | | 3 | The root user has two access keys, the most there can be. | Console as root: delete one.
KeyLeft | | 1 | The temporary root access key {left} could not be deleted. | Console as root: delete it NOW.
OperationAborted | | 1 | Another change of this bucket is under way. | Wait a minute. {again}
SlowDown Throttling RequestLimitExceeded ServiceUnavailable InternalError 503 | | 1 | AWS asks for patience. | {again}
SSLError | | 1 | The TLS certificate could not be verified. | A proxy? Give its CA in AWS_CA_BUNDLE; never go without.
HTTPClientError ConnectionError | | 1 | AWS cannot be reached, or gave no answer. | Check network and proxy. {again}
NotReadBack | | 1 | S3 accepted the change, but still answers {state} after {wait} s. | Run check in a few minutes.
NotNumbered | | 1 | S3 stored a proof without a version id: versioning is new. | Run it again in 15 minutes.
NotRefused | | 1 | A version was deleted without a code: MFA delete does not work here! | Run check; call AWS support.
NotAllDeleted | | 1 | {count} version(s) are still there. | {again}
NoMoreCodes | | 1 | Standard input ended before the code {purpose}. | {again}
NoTerminal | | 2 | There is no terminal to ask on: {question} | Give {option}.
NoSuchDevice | | 2 | There is no device of that number. | {again}
NothingTagged | | 2 | None of {count} buckets carries the tag {tag} (upper and lower case count). | Give --bucket.
NothingNamed | | 2 | No bucket is named (an empty variable or file?). | Give --bucket, --from-file or --tagged.
BadFile | | 2 | {path} cannot be used: {why}. | A bucket per line; or JSON of aws s3api list-object-versions.
BadEnd | | 2 | {end} is no time to come. | --for 90m, 2h or 3d; --until 2026-12-01 or 2026-12-01T14:30Z (UTC).
BadReason | | 2 | S3 tags cannot hold that reason. | Up to 256 letters, digits, blanks and + - = . _ : / @
ParamValidationError | | 1 | That is no valid name or value (or boto3 is too old). | Check bucket name and version id.
| | 1 | An error that this script does not know. | Search for its code. {again}
"""
RULES = [[part.strip() for part in row.split("|")] for row in ERRORS.strip().splitlines()]
VERBS = {
    "check": "look only: what each bucket is, and what would be in the way; any identity that may read will do",
    "enable": "turn MFA delete on, with versioning, and read it back",
    "disable": "turn MFA delete off for planned work, with an end and a reason that the guardrail honours",
    "delete-version": "delete versions for good, or the delete marker that hides an object",
}
# Option | initials of the verbs that have it (v: delete-version) | what argparse does with it | help
OPTIONS = """
--bucket | c e d v | append | the bucket; may be given several times
--from-file | c e d | store | file with a bucket per line (# begins a comment)
--tagged | c e | tag | every bucket with this tag, KEY=VALUE (default mfa-delete=required)
--key | v | store | the object's key
--version-id | v | append | a version of --key, or a delete marker's; several times
--undelete | v | append | bring this key back: remove the delete marker that hides it
--versions-file | v | store | JSON of `aws s3api list-object-versions`: all that it names is deleted
--yes | v | store_true | do not ask before deleting
--until | d | store | end of the exception, UTC: 2026-12-01 (inclusive) or 2026-12-01T14:30Z
--for | d | store | or how long: 90m, 2h, 3d
--reason | d | store | why; it becomes a tag on the bucket
--prove | e | store_true | then show that deleting a version without a code is refused (takes a second code)
--profile | c e d v | store | profile of the AWS configuration
--region | c e d v | store | Region to begin with; each bucket's own is found out
--account | e d v | store | account id that this must be; then it is not asked for
--mfa-serial | e d v | store | ARN or serial number of the device (default: looked up)
--mfa-code | e d v | store | only -: read codes from standard input, one per line
--dry-run | e d v | store_true | stop before anything is changed
--wait | c e d v | seconds | for a new key, or for the change to be read back (default 60)
--delete-key | e d v | store_true | at the end delete the access key this ran with, unasked
--keep-key | e d v | store_true | keep it, unasked
--temporary-key | e d v | store_true | with a root session (aws login): make a key, use it, delete it; untried on AWS
--s3-compatible | c e d v | store_true | another server than AWS: no identity, device or key steps; needs --mfa-serial
--endpoint-url | c e d v | store | the server's address (default: AWS_ENDPOINT_URL)
--evidence | c e d v | store | append what was done to this file, one JSON line, for the ticket
--json | c e d v | store_true | one JSON object per bucket on standard output, all else on standard error
"""
KINDS: Any = {"seconds": {"type": int, "default": 60}, "tag": {"nargs": "?", "const": "mfa-delete=required"}}


class Failure(Exception):
    """What a person reads of an error: what it means, what to do, what AWS said; and the exit code it leads to."""

    def __init__(self, *codes: str, message: str | None = None, said: str = "", **words: object) -> None:
        fits = (r for c in codes for r in RULES if c in r[0].split() and (message is None or r[1] in message.lower()))
        _, _, status, means, remedy = next(fits, RULES[-1])
        self.code, self.exit, self.said = codes[0], int(status), said
        self.means, self.remedy = means.format_map(WORDS | words), remedy.format_map(WORDS | words)
        super().__init__(self.means)


def demand(holds: object, code: str, **words: object) -> None:
    if not holds:
        raise Failure(code, **words)  # type: ignore[arg-type]


class Stop(SystemExit):
    """Ctrl-C, a closed terminal, SIGTERM, or the end of input at a prompt."""


def on_signal(number: int, _frame: object) -> NoReturn:
    raise Stop(signal.Signals(number).name)


@contextlib.contextmanager
def undisturbed(forget: bool = True) -> Iterator[None]:
    """Signals wait; at the end they are forgotten (after tidying up or telling the truth), or arrive."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        while forget and signal.sigpending() & set(SIGNALS):
            signal.sigwait(SIGNALS)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def read_terminal(prompt: Callable[[], str], hidden: bool = False) -> str:
    """A line; a hidden one is not echoed. The prompt is renewed while it waits, so that it can count down."""
    try:
        fd, shown, before = sys.stdin.fileno(), "", termios.tcgetattr(sys.stdin)
        silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
        termios.tcsetattr(fd, termios.TCSAFLUSH, silent if hidden else before)
        try:
            while not shown or not select.select([fd], [], [], 0.5)[0]:
                if (text := printable(prompt())) != shown:
                    print(f"\r{text}\033[K" if shown else text, end="", file=sys.stderr, flush=True)
                    shown = text
            line = os.read(fd, 4096)
        finally:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
            print("\n" * hidden, end="", file=sys.stderr, flush=True)
    except (OSError, termios.error) as err:
        raise Stop("the terminal was closed") from err
    if not line:
        raise Stop("end of input")
    return line.decode(errors="replace").strip()


def printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def tried(call: Callable[[], Any], *codes: str) -> tuple[Any, ClientError | None]:
    """The answer, or the error if it has one of these codes; any other is raised."""
    try:
        return call(), None
    except ClientError as err:
        if err.response["Error"].get("Code") not in codes:
            raise
        return None, err


class Run:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.started = args, datetime.now(UTC)
        self.session: Any = None
        self.looking, self.agreed, self.mute = args.verb == "check" or bool(args.dry_run), False, False
        self.piped, self.interactive = sys.stdin or iter(()), sys.stdin is not None and sys.stdin.isatty()
        self.profile = f" --profile {shlex.quote(args.profile)}" if args.profile else ""
        self.kind = self.arn = self.account = self.alias = self.key = self.key_fate = self.serial = self.stopped = ""
        self.partition, self.hidden, self.wrong, self.sent_at = "aws", set[str](), 0, 0.0
        self.clients, self.buckets = dict[tuple[str, str, bool], Any](), list[Bucket]()
        self.requests: list[dict[str, object]] = []
        self.failure: Failure | None = None

    def work(self) -> None:
        opened(self.args.evidence or os.devnull, "a").close()  # noticed now, not when it is too late
        names = [line.partition("#")[0].strip() for line in opened(self.args.from_file or os.devnull)]
        named = [re.sub(r"^arn:[^:]+:s3:::", "", name) for name in (self.args.bucket or []) + names]
        self.buckets = [Bucket(name, self) for name in dict.fromkeys(named) if name]
        demand(self.buckets or self.args.tagged, "NothingNamed")
        self.open()
        self.identify()
        exempt = self.exemption() if self.args.verb == "disable" else {}
        if self.args.tagged:
            self.find_tagged(*self.args.tagged.partition("=")[::2])
        for each in self.buckets:
            each.preflight(exempt)
        todo = [each for each in self.buckets if not each.done and not each.error]
        if todo and self.args.verb in ("check", "enable"):
            self.say(AFTERWARDS)
        if todo and self.args.verb != "check":
            self.find_device()
        if todo and not self.looking:
            with self.temporary_key() if self.args.temporary_key else contextlib.nullcontext():
                for each in todo:
                    each.guarded(each.act)

    def attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Stop as stop:
            self.stopped = str(stop)
            self.say(f"\nStopped: {stop}.", RED)
        except Exception as err:  # noqa: BLE001 - a person with root credentials must not meet a traceback
            self.failure = self.explain(err)
            self.complain(self.failure)

    def finish(self) -> int:  # tell what was done, offer to delete the key, write the evidence; returns the exit code
        with undisturbed():
            self.table()
        all_done = all(each.done for each in self.buckets)
        if self.agreed and self.kind == "root" and not self.looking:
            self.args.keep_key = self.args.keep_key or self.stopped
            self.attempt(lambda: self.farewell("" if all_done else " (Some buckets are not done.)"))
            self.say(TEXT["kept"].format(key=self.key, profile=self.profile) if self.key_fate == "kept" else "", YELLOW)
        with undisturbed(), contextlib.suppress(OSError):
            code = INTERRUPTED if self.stopped else self.failure.exit if self.failure else int(not all_done)
            self.write_evidence(code)
            for each in self.buckets if self.args.json else []:
                print(json.dumps(each.as_json()), flush=True)
        return code

    def table(self) -> None:
        why = f"stopped ({self.stopped})" if self.stopped else self.failure.means if self.failure else ""
        wide = max([6, *(len(each.name) for each in self.buckets)])
        self.say(f"\n{'bucket':{wide}}  {'before':18}  {'after':18}  verdict" if self.buckets else "")
        for each in self.buckets:
            if why and not each.done and not each.error:
                each.error, each.remedy = f"not done: {why}", WORDS["again"]
            more = "".join(f"\n{'':{wide}}  {note}" for note in [*each.notes, each.error] if note)
            line = f"{each.name:{wide}}  {each.before or 'unknown':18}  {each.after or 'unknown':18}  {each.verdict()}"
            self.say(line + ("" if each.done else "  NOT AS ASKED") + more, GREEN if each.done else RED)

    def write_evidence(self, code: int) -> None:
        """11: one JSON line, no secret in it. After a hangup nobody can read the screen: a file takes its place."""
        names = ("account", "alias", "arn", "key", "key_fate", "serial", "stopped", "requests")
        what = {name: getattr(self, name) for name in names} | {"script": ABOUT, "verb": self.args.verb, "exit": code}
        what |= {"started": f"{self.started:{STAMP}}", "ended": f"{datetime.now(UTC):{STAMP}}"}
        what |= {"failure": self.failure and self.failure.code, "buckets": [each.as_json() for each in self.buckets]}
        hangup = f"mfa-delete-{self.started:%Y%m%dT%H%M%SZ}.json" if self.mute and self.agreed else ""
        path = self.args.evidence or hangup or os.devnull
        try:
            with opened(path, "a") as file:
                file.write(json.dumps(what) + "\n")
        except (OSError, Failure) as err:
            self.say(f"The evidence could not be written: {err}", RED)

    def say(self, text: str, tint: str = "") -> None:
        """Standard output belongs to the JSON when that was asked for. A closed terminal does not stop the tidying."""
        stream, plain = sys.stderr if self.args.json else sys.stdout, printable(text)
        try:
            colour = tint and stream.isatty() and "NO_COLOR" not in os.environ
            print(f"\033[{tint}m{plain}\033[0m" if colour else plain, file=stream, flush=True)
        except (OSError, AttributeError):  # closed before or meanwhile
            self.mute = True

    def complain(self, failure: Failure, about: str = "") -> None:
        said = f"\n  AWS said: {failure.said}" if failure.said else ""
        self.say(f"{about}{about and ': '}{failure.code}: {failure.means}{said}\n  What to do: {failure.remedy}", RED)

    def explain(self, err: Exception, bucket: str = "") -> Failure:
        """What a person reads about an error; whatever could be a code is cut out of AWS's words."""
        if isinstance(err, Failure):
            return err
        codes, message, request = [each.__name__ for each in type(err).__mro__], str(err), ""
        if isinstance(err, ClientError):
            codes, message = [err.response["Error"].get("Code", "")], err.response["Error"].get("Message", "")
            request = f" (request id {err.response.get('ResponseMetadata', {}).get('RequestId', 'none')})"
        message = "" if "CredentialRetrievalError" in codes else message  # it quotes what another program printed
        secrets = [r"(?<!\d)\d{6}(?!\d)", r"(?<=://)[^/@\s]+(?=@)", *map(re.escape, self.hidden)]
        said = re.sub("|".join(secrets), "******", f"{codes[0]}: {message}") + request
        return Failure(*codes, message=message, said=said, bucket=shlex.quote(bucket or "BUCKET"), profile=self.profile)

    def ask(self, question: str, option: str) -> str:
        demand(self.interactive, "NoTerminal", question=question, option=option)
        return read_terminal(lambda: question + " ")

    def agrees(self, question: str, option: str = "") -> bool:
        return self.ask(f"{question} [yes/no]:", option).lower() in ("y", "yes")

    def code(self, purpose: str) -> str:
        while True:
            line = read_terminal(lambda: self.prompt(purpose), True) if self.interactive else next(self.piped, "")
            demand(line or self.interactive, "NoMoreCodes", purpose=purpose)
            code = re.sub(r"\s", "", line)
            if re.fullmatch(r"[0-9]{6}", code) and code not in self.hidden:
                self.hidden.add(code)
                self.sent_at = time.time()
                return code
            self.say(TEXT["bad-code"], YELLOW)

    def prompt(self, purpose: str) -> str:
        left = (self.sent_at // STEP_S + 1) * STEP_S - time.time()
        after = f" (next one in {left:.0f} s)" if left > 0 else " (a new one)"
        return f"Code {purpose}{after if self.sent_at else ''}: "

    def with_code(self, purpose: str, call: Callable[..., Any], **what: Any) -> Any:
        """Make a call with a fresh code. A refused code is asked for anew, never repeated; the third ends the run."""
        header = f"{self.serial} {self.code(purpose)}"
        answer, refusal = tried(lambda: call(MFA=header, **what), "TokenCodeInvalidError")
        self.wrong = self.wrong + 1 if refusal else 0
        if refusal is None:
            return answer
        if self.wrong == MAX_WRONG:
            raise refusal
        self.say(TEXT["wrong-code"].format(wrong=self.wrong), YELLOW)
        return self.with_code(purpose, call, **what)

    def open(self, **keys: Any) -> None:
        """Use the keys given, else the profile's or the environment's; note every answer's request id."""
        region = self.args.region or getattr(self.session, "region_name", None)
        self.hidden |= {keys[name] for name in keys if "secret" in name}
        self.session = boto3.Session(region_name=region, **(keys or {"profile_name": self.args.profile}))
        events = self.session.events
        events.register("before-parameter-build", lambda params, context, **_: context.update(b=params.get("Bucket")))
        events.register("after-call", self.note)
        events.register("after-call-error", self.note)
        self.clients.clear()

    def note(self, event_name: str, context: dict[str, Any], parsed: Any = None, exception: Any = "", **_: Any) -> None:
        parsed = parsed or {"Error": {"Code": type(exception).__name__}}  # no answer: the call may have been made
        meta, error = parsed.get("ResponseMetadata", {}), parsed.get("Error", {}).get("Code")
        note = {"at": f"{datetime.now(UTC):{STAMP}}", "call": event_name.rpartition(".")[2], "bucket": context.get("b")}
        note |= {"error": error, "status": meta.get("HTTPStatusCode"), "request_id": meta.get("RequestId")}
        self.requests.append(note)

    def client(self, service: str, region: str = "", once: bool = False) -> Any:
        """`once`: never repeat a call by itself; a code works once, and a key must not be made twice."""
        if (service, region, once) not in self.clients:
            where = {"region_name": region or self.session.region_name or "us-east-1"}
            options: Any = {"s3": {"addressing_style": "path"}} if self.args.s3_compatible else {}
            options |= {"retries": {"total_max_attempts": 1 if once else 4, "mode": "standard"}}
            config = Config(connect_timeout=5, read_timeout=20, user_agent_extra="mfa_delete.py", **options)
            client = self.session.client(service, config=config, endpoint_url=self.args.endpoint_url, **where)
            self.clients[service, region, once] = client
        return self.clients[service, region, once]

    def patient(self, call: Callable[[], Any]) -> Any:
        """A key made a moment ago is not known everywhere yet: wait for it, at most --wait seconds."""
        deadline = time.monotonic() + self.args.wait
        while (found := tried(call, "InvalidAccessKeyId", "InvalidClientTokenId"))[1]:
            if time.monotonic() >= deadline:
                raise found[1]
            self.say(f"AWS does not know key {self.key} yet; new ones take a while. Waiting (Ctrl-C ends it).")
            time.sleep(2)
        return found[0]

    def identify(self) -> None:  # 1: find out who calls, and refuse whoever cannot do this; `check` only says so
        if self.args.s3_compatible:
            self.agreed = True
            return self.say("S3-compatible server: identity, device and access key are not looked at.")
        if (keys := self.session.get_credentials()) is None:
            raise NoCredentialsError
        self.key, secret, token, *_ = keys.get_frozen_credentials()
        self.hidden |= {secret, token or secret}
        self.arn = self.patient(self.client("sts").get_caller_identity)["Arn"]
        _, self.partition, _, _, self.account, resource = self.arn.split(":", 5)
        kinds = {"root": "root-session" if token else "root", "user": "iam-user", "assumed-role": "assumed-role"}
        self.kind = kinds.get(resource.partition("/")[0], "other")
        with contextlib.suppress(ClientError):  # the alias is a courtesy
            self.alias = ", ".join(self.client("iam").list_account_aliases()["AccountAliases"])
        self.say(f"You are {self.arn}, account {self.account} ({self.alias or 'no alias'}), access key {self.key}.")
        if not re.fullmatch(r"https://[\w.-]+\.amazonaws\.com(\.cn)?", where := self.client("s3").meta.endpoint_url):
            self.say(f"All calls, and the codes, go to {where}: not the ordinary address of AWS.", YELLOW)
        if self.args.verb == "check":
            return self.say(f"Looking only. {Failure(self.kind).means}") if self.kind != "root" else None
        wanted, given = "root-session" if self.args.temporary_key else "root", self.args.account
        demand(self.kind == wanted, "NotNeeded" if self.kind == "root" else self.kind)
        demand(given in (None, self.account), "WrongAccount", account=self.account, wanted=given)
        demand(given or self.args.dry_run or self.agrees("Is this the account?", "--account ID"), "NotConfirmed")
        self.agreed = True
        return self.probe()

    def probe(self) -> None:  # S3 learns of a new key later than IAM; whether this call is allowed does not matter
        self.patient(lambda: tried(lambda: self.client("s3").list_buckets(MaxBuckets=1), "AccessDenied"))

    def find_device(self) -> None:  # 2: settle whose codes go to S3
        named = self.args.mfa_serial or ""
        owner = re.match(r"arn:[^:]+:iam::(\d+):", named)
        ours = ":u2f/" not in named and (owner is None or owner[1] == self.account)
        demand(self.args.s3_compatible or ours, "WrongDevice")
        devices, picked = [named] if named else self.devices(), "1"
        if len(devices) > 1:
            self.say("\n".join(f"  {number}  {each}" for number, each in enumerate(devices, 1)))
            picked = self.ask(f"Which device will you read the codes from? [1-{len(devices)}]", "--mfa-serial")
        demand(re.fullmatch(r"[1-9]", picked) and int(picked) <= len(devices), "NoSuchDevice")
        self.serial = devices[int(picked) - 1]
        self.say(f"Codes come from {self.serial}.")

    def devices(self) -> list[str]:
        """Root's devices that show codes. Without a user name IAM answers for the caller, hardware tokens included."""
        iam, found = self.client("iam"), []
        with contextlib.suppress(ClientError):  # the second list may answer where this one does not; 8 at most
            found = [each["SerialNumber"] for each in iam.list_mfa_devices()["MFADevices"]]
        codes = [each for each in found if not each.startswith("arn:") or ":mfa/" in each]
        pages = iam.get_paginator("list_virtual_mfa_devices").paginate(AssignmentStatus="Assigned")
        for each in [] if codes else [device for page in pages for device in page["VirtualMFADevices"]]:
            codes += [each["SerialNumber"]] if each.get("User", {}).get("Arn", "").endswith(":root") else []
        demand(codes, "NoDevice")
        return codes

    def find_tagged(self, key: str, value: str) -> None:
        """5: read every bucket's own tags: the Tagging API lags behind them."""
        pages = self.client("s3").get_paginator("list_buckets").paginate(MaxBuckets=1000)
        every = [Bucket(each["Name"], self, each.get("BucketRegion", "")) for page in pages for each in page["Buckets"]]
        for region in {each.region for each in every}:
            self.client("s3", region)  # made before the threads start
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda each: each.guarded(each.read_tags), every))
        self.buckets = [each for each in every if each.error or each.tags.get(key) == value]
        demand(self.buckets, "NothingTagged", count=len(every), tag=f"{key}={value}")

    def exemption(self) -> dict[str, str]:
        """6: the two tags, from the options or from the person; only what S3 tags and the guardrail accept."""
        until, now = self.args.until or vars(self.args)["for"], datetime.now(UTC)
        if span := re.fullmatch(r"(\d{1,4})([mhd])", until or ""):
            unit = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[span[2]]
            until = f"{now + int(span[1]) * unit + timedelta(minutes=1):%Y-%m-%dT%H:%MZ}"
        until = until or self.ask("Until when (UTC, 2026-12-01 or 2026-12-01T14:30Z)?", "--until or --for")
        reason = (self.args.reason or self.ask("Why (it becomes a tag on the bucket)?", "--reason")).strip()
        demand((end_of(until) or now) > now, "BadEnd", end=until)
        demand(re.fullmatch(r"[\w +\-=.:/@]{1,256}", reason), "BadReason")
        self.say(TEXT["tags"].format(until=until, reason=reason))
        return {UNTIL: until, REASON: reason}

    def keys(self) -> dict[str, str]:
        keys = self.client("iam").list_access_keys()["AccessKeyMetadata"]  # 2 at most
        return {each["AccessKeyId"]: f"{each['CreateDate']:{STAMP}}" for each in keys}  # and when it was made

    def farewell(self, more: str) -> None:
        """8: offer to delete the access key that all this ran with: the last call, since none can follow."""
        question, self.key_fate = f"Delete the access key {self.key} that this ran with?{more}", "kept"
        if self.args.keep_key or not (self.args.delete_key or (self.interactive and self.agrees(question))):
            return
        method, name = self.session.get_credentials().method, self.session.profile_name
        self.client("iam").delete_access_key(AccessKeyId=self.key)
        self.key_fate = "deleted"
        self.say(TEXT["gone"].format(key=self.key), GREEN)
        if "file" not in method:
            self.say(f"Remove it where it came from ({method}): unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY")
        for variable in ("credentials_file", "config_file") if "file" in method else ():
            path = Path(self.session._session.get_config_variable(variable)).expanduser().resolve()
            try:
                was_there = drop_profile(path, name, self.key)
                self.say(f"Profile {name} {'removed from' if was_there else 'is not in'} {path}.")
            except (OSError, ValueError) as err:
                self.say(f"Remove profile {name} from {path} yourself: {err}", YELLOW)

    @contextlib.contextmanager
    def temporary_key(self) -> Iterator[None]:
        """9: a root access key that lives in this block and in memory only; it is deleted whatever happens inside."""
        self.say(TEXT["temporary"], YELLOW)
        for key, made in self.keys().items():
            self.say(f"The root user has an access key already: {key}, made {made}.", YELLOW)
            if self.interactive and self.agrees("Delete it? Yes, if a run of this script was killed"):
                self.client("iam").delete_access_key(AccessKeyId=key)
        session, known, self.key = self.session, set(self.keys()), ""
        demand(len(known) < 2, "LimitExceeded")
        try:
            with undisturbed(forget=False):  # a key whose id is lost cannot be deleted
                made = self.client("iam", once=True).create_access_key()["AccessKey"]
                self.key = made["AccessKeyId"]
            self.say(f"Temporary root access key {self.key} made; it is deleted at the end.")
            self.open(aws_access_key_id=self.key, aws_secret_access_key=made["SecretAccessKey"])
            for _ in range(3):  # several times: not every server of AWS learns of it at once
                self.patient(self.client("sts").get_caller_identity)
                self.probe()
            yield
        finally:
            with undisturbed():
                self.session = session
                self.clients.clear()
                self.end_temporary_key(known)

    def end_temporary_key(self, known: set[str]) -> None:
        """Delete our key and verify; was the answer with its id lost, it is the one that was not there before."""
        doomed, iam = {self.key} - {""}, self.client("iam")
        for turn in range(4):  # IAM's lists lag behind: several looks before anything is claimed
            try:
                for key in doomed:
                    tried(partial(iam.delete_access_key, AccessKeyId=key), "NoSuchEntity")
                listed = set(self.keys())
                if (self.key or turn == 3) and not (listed & doomed or listed - known):
                    self.key_fate = "deleted" if doomed else "none is listed"
                    return self.say(*(TEXT["ended"], GREEN) if doomed else (TEXT["no-key"], RED))
                doomed |= set() if self.key else listed - known
            except (ClientError, BotoCoreError) as err:
                self.complain(self.explain(err))
            time.sleep(1)
        self.key_fate = "LEFT BEHIND"
        raise Failure("KeyLeft", left=", ".join(doomed))


def drop_profile(path: Path, profile: str, key: str) -> bool:  # rewrite the file without it, atomically, same mode
    before, after = path.read_bytes().decode() if path.exists() else "", ""
    for part in re.split(r"(?m)^(?=\[)", before):
        header = re.match(r"\[\s*(?:profile\s+)?[\"']?(.*?)[\"']?\s*\]", part)
        # [default]'s Region and output in the config file are no part of the key; comments belong to what comes next.
        is_meant = header is not None and header[1] == profile and (profile != "default" or "aws_access_key_id" in part)
        after += re.sub(r"(?ms)\A.*?((?:^[ \t]*[#;][^\n]*\n|^[ \t]*\n)*)\Z", r"\1", part) if is_meant else part
    if key in after:
        raise ValueError(f"{key} stands elsewhere in it too")
    if after != before:
        fresh = path.with_name(f"{path.name}.new")
        fresh.touch(0o600)
        fresh.chmod(path.stat().st_mode & 0o7777)
        fresh.write_bytes(after.encode())
        fresh.replace(path)
    return after != before


def opened(path: str, mode: str = "r") -> Any:  # a file that the person named; a new one is for their eyes only
    try:
        how: Any = {"encoding": "utf-8" + "-sig" * (mode == "r"), "errors": "replace"}
        return open(path, mode, opener=partial(os.open, mode=0o600), **how)
    except OSError as err:
        raise Failure("BadFile", path=path, why=err) from err


def end_of(text: str) -> datetime | None:  # when an exemption ends; a date is UTC and inclusive
    for form, rest in (("%Y-%m-%d", timedelta(days=1)), ("%Y-%m-%dT%H:%MZ", timedelta())):
        with contextlib.suppress(ValueError):
            return datetime.strptime(text, form).replace(tzinfo=UTC) + rest
    return None


class Bucket:
    def __init__(self, name: str, run: Run, region: str = "") -> None:
        self.name, self.run, self.args, self.region = name, run, run.args, region
        self.before = self.after = self.error = self.remedy = ""
        self.done, self.tags, self.exempt = False, dict[str, str](), dict[str, str]()
        self.versions, self.notes = list[dict[str, Any]](), list[str]()

    @property
    def where(self) -> dict[str, Any]:
        return {"Bucket": self.name} | ({"ExpectedBucketOwner": self.run.account} if self.run.account else {})

    def s3(self, once: bool = False) -> Any:
        return self.run.client("s3", self.region, once)

    def verdict(self) -> str:
        end = end_of(self.tags.get(UNTIL, ""))
        off = "exempt" if end and end > self.run.started and self.tags.get(REASON) else "unprotected"
        known = {"": "unverifiable", "Suspended": "suspended", "Enabled": "protected" if self.after == ON else off}
        return known.get(self.after.partition("/")[0], off)

    def as_json(self) -> dict[str, object]:
        named = {name: getattr(self, name) for name in ("before", "after", "error", "remedy", "notes", "versions")}
        return {"bucket": self.name, "verdict": self.verdict(), "as_asked": self.done, "region": self.region} | named

    def guarded(self, step: Callable[[], None]) -> None:
        """A failure is written down and shown; only one that the next bucket would share ends the run."""
        try:
            step()
        except (Failure, ClientError, BotoCoreError) as err:
            failure = self.run.explain(err, self.name)
            self.error, self.remedy = f"{failure.code}: {failure.means} {failure.said}".strip(), failure.remedy
            if failure.exit == REFUSED:
                raise failure from err
            self.run.complain(failure, self.name)

    def state(self) -> str:
        answer = self.s3().get_bucket_versioning(**self.where)
        return f"{answer.get('Status', 'never')}/{answer.get('MFADelete', 'never')}"

    def setting(self, call: str, absent: str) -> dict[str, Any]:
        return tried(lambda: getattr(self.s3(), call)(**self.where), absent, "NotImplemented")[0] or {}

    def read_tags(self) -> dict[str, str]:
        tag_set = self.setting("get_bucket_tagging", "NoSuchTagSet").get("TagSet", [])
        self.tags = {each["Key"]: each["Value"] for each in tag_set}
        return self.tags

    def preflight(self, exempt: dict[str, str]) -> None:
        """3: look at a bucket before anybody is asked for a code, and show what was found."""
        self.exempt = exempt
        if not self.error:
            self.guarded(self.look)
        where = f"{self.name} ({self.region or 'Region unknown'}, partition {self.run.partition})"
        self.run.say("\n  note: ".join([f"{where}: {self.before or 'unknown'}: {self.verdict()}", *self.notes]))
        left = self.args.verb == "enable" and (self.args.prove or {UNTIL, REASON} & set(self.tags))
        is_off = not self.after.endswith("/Enabled") and exempt.items() <= self.tags.items()
        self.done = not self.error and (is_off if self.args.verb == "disable" else self.after == ON and not left)
        if self.args.verb == "delete-version" and not self.error:
            self.show_versions()

    def look(self) -> None:
        demand(not self.name.endswith("--x-s3"), "DirectoryBucket")
        self.region = self.run.client("s3").head_bucket(**self.where).get("BucketRegion") or self.region
        self.before = self.after = self.state()
        self.read_tags()
        if self.setting("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"):
            self.notes.append("Object Lock is on and goes on beside MFA delete; retention binds root's deletes too")
        copies = self.setting("get_bucket_replication", "ReplicationConfigurationNotFoundError")
        for rule in copies.get("ReplicationConfiguration", {}).get("Rules", []):
            self.notes.append(f"replicates to {rule['Destination']['Bucket']}, which needs MFA delete of its own")
        cycle = self.setting("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
        rules = ", ".join(f"{rule.get('ID', 'unnamed')} ({rule['Status'].lower()})" for rule in cycle.get("Rules", []))
        if rules and self.args.verb in ("check", "enable") and not self.before.endswith("/Enabled"):
            self.notes.append(f"lifecycle rules: {rules}")
            raise Failure("LifecyclePresent", bucket=shlex.quote(self.name), profile=self.run.profile)

    def act(self) -> None:  # do what was asked; whatever happens, learn afterwards how the bucket really is
        try:
            {"enable": self.enable, "disable": self.disable, "delete-version": self.delete_versions}[self.args.verb]()
            self.done = True
        except BaseException:
            self.after = ""
            with undisturbed(), contextlib.suppress(ClientError, BotoCoreError):
                self.after = self.state()
            self.done = self.args.verb == "enable" and self.after == ON and not self.args.prove
            self.notes += [] if self.after else ["its state could not be read afterwards: run check"]
            raise

    def switch(self, wanted: str) -> None:  # 4: PutBucketVersioning with both fields, then read back until it agrees
        new = dict(zip(("Status", "MFADelete"), wanted.split("/"), strict=True))
        purpose = f"to turn MFA delete {'on' if wanted == ON else 'OFF'}: {self.name}"
        try:
            self.run.with_code(purpose, self.s3(True).put_bucket_versioning, **self.where, VersioningConfiguration=new)
        except (ClientError, HTTPClientError) as err:  # no answer, or a fault: it may have been made all the same
            if isinstance(err, ClientError) and err.response["ResponseMetadata"].get("HTTPStatusCode", 0) < 500:
                raise
            self.run.say("No clear answer; looking at the bucket itself.", YELLOW)
            if self.state() != wanted:
                raise
        self.wait_for(self.state, wanted, "NotReadBack")
        self.after = wanted
        self.run.say(f"{self.name}: versioning/MFA delete is {wanted}, read back.", GREEN)

    def wait_for(self, look: Callable[[], Any], wanted: Any, code: str) -> None:
        deadline = time.monotonic() + self.args.wait
        while (state := look()) != wanted:  # a setting of a bucket is not seen everywhere at once
            demand(time.monotonic() < deadline, code, state=state, wait=self.args.wait)
            time.sleep(1)

    def enable(self) -> None:
        if self.after != ON:
            self.switch(ON)
        if {UNTIL, REASON} & set(self.tags):
            self.set_tags({UNTIL: None, REASON: None})
            self.notes.append("exemption tags removed")
        if self.args.prove:
            self.prove()

    def prove(self) -> None:
        """Show that a version delete without a code is refused, on an object of our own; remove it with the next."""
        item = self.where | {"Key": f"mfa-delete-proof/{datetime.now(UTC):{STAMP}}.txt"}
        answer = self.s3().put_object(**item, Body=b"Proof that MFA delete works.\n")
        item["VersionId"] = answer.get("VersionId", "null")
        self.notes.append(f"proof object left behind: {item['Key']}, version {item['VersionId']}")
        demand(item["VersionId"] != "null", "NotNumbered")
        delete = self.s3(once=True).delete_object
        _, refusal = tried(lambda: delete(**item), "AccessDenied")
        demand(refusal, "NotRefused")
        if refusal and "mfa" not in str(refusal).lower():
            raise refusal
        self.run.say(f"{self.name}: proved: deleting a version without a code is refused.", GREEN)
        self.run.with_code(f"to remove the proof object: {self.name}", delete, **item)
        self.notes[-1] = "proved: deleting a version without a code is refused"

    def disable(self) -> None:
        """6: first the exemption, so that the guardrail never sees an unexplained change; then MFA delete off."""
        earlier = {name: self.tags.get(name) for name in self.exempt}
        try:
            self.notes.append(f"the exemption tags {UNTIL} and {REASON} are set")
            self.set_tags(dict(self.exempt))
            if self.after.endswith("/Enabled"):
                self.switch(self.after.partition("/")[0] + "/Disabled")
        except BaseException:
            with undisturbed(), contextlib.suppress(Failure, ClientError, BotoCoreError):
                if self.state().endswith("/Enabled"):  # an exemption of a bucket that is still protected must not stay
                    self.set_tags(earlier)
                    self.notes[-1] = "the exemption tags were taken back"
            raise

    def set_tags(self, changes: dict[str, str | None]) -> None:
        """Change these tags and keep all others; None removes one."""
        self.read_tags()
        wanted = {name: value for name, value in (self.tags | changes).items() if value is not None}
        tag_set = {"TagSet": [{"Key": name, "Value": value} for name, value in wanted.items()]}
        put, clear, where = self.s3().put_bucket_tagging, self.s3().delete_bucket_tagging, self.where
        # PutBucketTagging replaces the whole set, may not name AWS's own tags, and is not for buckets with ABAC.
        singly = any(name.startswith("aws:") for name in self.tags) and not self.args.s3_compatible
        if singly or tried(lambda: put(Tagging=tag_set, **where) if wanted else clear(**where), "MethodNotAllowed")[1]:
            control = self.run.client("s3control", self.region)
            where = {"AccountId": self.run.account, "ResourceArn": f"arn:{self.run.partition}:s3:::{self.name}"}
            if new := [{"Key": name, "Value": value} for name, value in changes.items() if value is not None]:
                control.tag_resource(Tags=new, **where)
            if old := [name for name, value in changes.items() if value is None]:
                control.untag_resource(TagKeys=old, **where)
        self.wait_for(self.read_tags, wanted, "TagsNotKept")

    def wanted_versions(self) -> set[tuple[str, str]]:
        """(key, version id) of all that was named; version id "" is the delete marker that hides the key."""
        wanted = {(self.args.key, each) for each in self.args.version_id or []}
        try:
            listed = json.load(opened(self.args.versions_file)) if self.args.versions_file else []
            rows = listed if isinstance(listed, list) else [row for kind in LISTED for row in listed.get(kind) or []]
            wanted |= {(str(row["Key"]), str(row["VersionId"])) for row in rows}
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise Failure("BadFile", path=self.args.versions_file, why="not the JSON that is expected") from err
        return wanted | {(key, "") for key in self.args.undelete or []}

    def find_versions(self, wanted: set[tuple[str, str]]) -> list[dict[str, Any]]:
        """Those of them that exist; a delete marker has no size."""
        pages = self.s3().get_paginator("list_object_versions")

        def of(key: str) -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = []
            for page in pages.paginate(**self.where, Prefix=key):
                found = [{"Size": None} | row for kind in LISTED for row in page.get(kind, [])]
                rows += [row for row in found if row["Key"] == key]
                if any(row["Key"] != key for row in found):  # keys come in order, and ours is the first
                    break
            hidden = (key, "") in wanted and any(row["IsLatest"] and row["Size"] is None for row in rows)
            newest = max((row["LastModified"] for row in rows if row["Size"] is not None), default=None)
            hiding = [r for r in rows if r["Size"] is None and hidden and (not newest or r["LastModified"] >= newest)]
            return [row for row in rows if (key, row["VersionId"]) in wanted or row in hiding]

        with ThreadPoolExecutor(10) as pool:
            rows = [row for found in pool.map(of, sorted({key for key, _ in wanted})) for row in found]
        return [{name: row[name] for name in ("Key", "VersionId", "Size", "IsLatest")} for row in rows]

    def show_versions(self) -> None:  # 7: what will be gone for good; the person agrees to the number
        wanted = self.wanted_versions()
        self.versions = self.find_versions(wanted)
        count, size = len(self.versions), sum(each["Size"] or 0 for each in self.versions)
        for each in self.versions[:20]:
            what = "delete marker: its object comes back" if each["Size"] is None else f"{each['Size']} bytes"
            self.run.say(f"  {each['Key']!r}  {each['VersionId']}  {what}{', latest' if each['IsLatest'] else ''}")
        gone = f"{len(wanted) - count} of those named do not exist (any more)"
        self.run.say(f"{self.name}: {count} version(s), {size} bytes, will be gone for good, 20 are shown; {gone}.")
        self.done = not count
        asks = count and not (self.args.dry_run or self.args.yes)
        demand(not asks or self.run.ask(f"Type {count} to delete for good:", "--yes") == str(count), "NotConfirmed")

    def delete_versions(self) -> None:
        targets = [{name: each[name] for name in ("Key", "VersionId")} for each in self.versions]
        left = len(targets)
        try:
            for batch in (targets[start : start + MAX_KEYS] for start in range(0, len(targets), MAX_KEYS)):
                purpose = f"to delete {len(batch)} version(s) for good: {self.name}"
                what = self.where | {"Delete": {"Objects": batch}}
                for each in self.run.with_code(purpose, self.s3(once=True).delete_objects, **what).get("Errors", []):
                    failure = self.run.explain(ClientError({"Error": each}, "DeleteObjects"), self.name)
                    self.run.complain(failure, f"{each['Key']} {each['VersionId']}")
        finally:  # whatever happened: what is gone, by counting what is left
            with undisturbed(), contextlib.suppress(ClientError, BotoCoreError):
                left = len(self.find_versions({(each["Key"], each["VersionId"]) for each in targets}))
                self.notes.append(f"{len(targets) - left} deleted, {left} left")
        demand(not left, "NotAllDeleted", count=left)


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:  # must not print a code that somebody typed as an argument
        super().error(re.sub(r"\d{3}\s?\d{3}", "******", message))


def parse(argv: list[str] | None) -> argparse.Namespace:
    style: Any = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    top = Parser(prog="mfa_delete.py", description=(__doc__ or "").partition("\n")[0], epilog=EPILOG, **style)
    top.add_argument("--version", action="version", version=ABOUT, help="version and SHA-256 of this file")
    verbs = top.add_subparsers(dest="verb", required=True)
    for verb, summary in VERBS.items():
        sub = verbs.add_parser(verb, help=summary, description=summary, **style)
        for row in OPTIONS.strip().splitlines():
            flag, initials, kind, text = (part.strip() for part in row.split("|"))
            sub.set_defaults(**{flag.strip("-").replace("-", "_"): None})  # every option exists, whatever the verb
            if ("v" if "-" in verb else verb[0]) in initials.split():
                sub.add_argument(flag, help=text, **KINDS.get(kind, {"action": kind}))
    a = top.parse_args(argv)
    changes, terminal = a.verb != "check", sys.stdin is not None and sys.stdin.isatty()
    url = a.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    no_target = not (a.undelete or a.versions_file or (a.key and a.version_id)) or len(a.bucket or []) != 1
    mistakes: dict[str, object] = {
        "--mfa-code takes only -: a code as an argument stays in the shell's history": a.mfa_code not in (None, "-"),
        "give either --tagged, or --bucket and --from-file": bool(a.bucket or a.from_file) == bool(a.tagged),
        "--tagged is KEY=VALUE": a.tagged and "=" not in a.tagged,
        "give one --bucket, and --key with --version-id, --undelete or --versions-file": "-" in a.verb and no_target,
        "--key and --version-id belong together": bool(a.key) != bool(a.version_id),
        "--until or --for, not both": a.until and vars(a)["for"],
        "--delete-key or --keep-key, not both": a.delete_key and a.keep_key,
        "--s3-compatible needs --mfa-serial and a URL": a.s3_compatible and not (url and (a.mfa_serial or not changes)),
        "--temporary-key is for AWS only": a.s3_compatible and a.temporary_key,
        "no terminal: give codes with --mfa-code -": changes and not (a.dry_run or terminal or a.mfa_code),
    }
    for text in [text for text, is_wrong in mistakes.items() if is_wrong]:
        top.error(text)
    return a


def main(argv: list[str] | None = None) -> int:
    run = Run(parse(argv))
    for each in SIGNALS:
        signal.signal(each, on_signal)
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # the shell would show the code that is typed after fg
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="replace")
    run.attempt(run.work)
    code = run.finish()
    if run.mute:  # nothing more can be written, and the interpreter must not try
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
