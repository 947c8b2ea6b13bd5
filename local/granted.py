"""What the stack's roles are granted, compared with what they called: `python -m local.granted build/calls`.

While GUARDRAIL_CALLS names a folder, every embedded cloud writes there which role called what before it forgets it.
Exit code 0: each grant of the built template was used and each call was granted; 1: not so; 2: usage; 3: cannot tell.
"""

import argparse
import importlib
import json
import os
import re
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOM = Path(__file__).resolve().parent.parent
TEMPLATES = (ROOM / ".aws-sam" / "build" / "template.yaml", ROOM / "template.yaml")
VARIABLE = "GUARDRAIL_CALLS"
LOG_LIMIT = 50_000
"""So many calls of one cloud are kept; in a fuller log the first ones are missing."""

Node = Any


class CannotTell(Exception):
    """There is nothing to compare, or a statement is written in a way this file does not read; one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Call:
    """What a role called, as far as it matters here; `resource` is the S3 path, of refused calls only."""

    role: str
    action: str
    status: int
    error: str
    resource: str = ""

    @property
    def is_refused(self) -> bool:
        """By authorization; an answer to HEAD has no error code."""
        return bool(_REFUSED.match(self.error)) or (self.status == 403 and not self.error)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Grant:
    """One action on one resource, named `LogicalId.Attribute`, allowed to a role by its logical id."""

    role: str
    action: str
    resource: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ByAws:
    """A grant that AWS uses in the role's name, which the embedded cloud does without a call."""

    role: str
    action: str
    resource: str
    reason: str

    def means(self, grant: Grant) -> bool:
        """Role and resource are patterns, so that a new function needs no line."""
        names = ((self.role, grant.role), (self.action, grant.action), (self.resource, grant.resource))
        return all(fnmatchcase(name, pattern) for pattern, name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPurpose:
    """A refusal that a test, or the function itself, brings about."""

    role: str
    action: str
    error: str
    reason: str

    def means(self, call: Call, role: str) -> bool:
        """Role and action are patterns."""
        return fnmatchcase(role, self.role) and fnmatchcase(call.action, self.action) and call.error == self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong and what to do. `needs_all`: may only mean that not all of e2e ran."""

    text: str
    needs_all: bool = False


BY_AWS = (
    ByAws(role="*", action="logs:CreateLogStream", resource="*Logs.Arn", reason="Lambda opens the log"),
    ByAws(role="*", action="logs:PutLogEvents", resource="*Logs.Arn", reason="Lambda writes the log"),
    ByAws(role="*", action="sqs:SendMessage", resource="OnFailureQueue.Arn", reason="Lambda hands over failed runs"),
    ByAws(role="*", action="sqs:ReceiveMessage", resource="*Queue.Arn", reason="Lambda's event source mapping"),
    ByAws(role="*", action="sqs:DeleteMessage", resource="*Queue.Arn", reason="Lambda's event source mapping"),
    ByAws(role="Sweep*", action="sqs:GetQueueAttributes", resource="SpokeQueue.Arn", reason="Lambda's mapping"),
    ByAws(
        role="VersionDelete*", action="sqs:GetQueueAttributes", resource="DeleteQueue.Arn", reason="Lambda's mapping"
    ),
    ByAws(role="*", action="kms:Decrypt", resource="AlertKey.Arn", reason="SNS, in the publisher's name"),
    ByAws(role="*", action="kms:GenerateDataKey", resource="AlertKey.Arn", reason="SNS, in the publisher's name"),
    ByAws(role="*ScheduleRole", action="lambda:InvokeFunction", resource="*Function.Arn", reason="the scheduler"),
    ByAws(role="*ScheduleRole", action="sqs:SendMessage", resource="DeadLetterQueue.Arn", reason="the scheduler"),
)
# Refusals by a bucket's own policy need no line (see _refusal).
ON_PURPOSE: tuple[OnPurpose, ...] = (
    OnPurpose(role="DrillRole", action="s3:DeleteObjectVersion", error="AccessDenied", reason="what a drill is for"),
    OnPurpose(role="SweepRole", action="sts:AssumeRole", error="AccessDenied", reason="a spoke whose role is gone"),
)
# These are no IAM actions: each item is authorized as the action it does. The store's transactions hold Puts only.
STANDS_FOR = {"dynamodb:TransactWriteItems": "dynamodb:PutItem"}
# SNS says AuthorizationError, or KMSAccessDenied when the key refused
_REFUSED = re.compile(r"(KMS)?AccessDenied|Authorization|Unauthorized|NotAuthorized")
_SESSION = re.compile(r"arn:aws:sts::\d+:assumed-role/([^/]+)/")


# What was called ----------------------------------------------------------------------------------------------------


def keep(log: list[dict[str, Any]], folder: Path) -> None:
    """Write what roles called, out of a cloud's log, into a file of its own. `log`: what `Cloud.calls()` answers."""
    counted = Counter(call for entry in log for call in _calls_of_a_role(entry))
    folder.mkdir(parents=True, exist_ok=True)
    calls = [asdict(call) | {"times": times} for call, times in sorted(counted.items())]
    written = {"is_full": len(log) >= LOG_LIMIT, "calls": calls}
    (folder / f"{uuid.uuid4().hex}.json").write_text(json.dumps(written, indent=1) + "\n")


def _calls_of_a_role(entry: dict[str, Any]) -> Iterator[Call]:
    session = _SESSION.match(entry["principal"])
    # a request that came cut off, on a busy machine, has neither its action nor a signature that fits: nobody called
    if not session or entry["error"] == "SignatureDoesNotMatch":
        return
    # without an IAM action ministack enforces nothing: its name must not pass for a granted one
    action = entry["action"] or f"{entry['service']}:{entry['operation']}"
    call = Call(role=session[1], action=STANDS_FOR.get(action, action), status=entry["status"], error=entry["error"])
    if call.is_refused:
        call = Call(**asdict(call) | {"resource": entry["resource"]})
    yield call


def read(folder: Path) -> tuple[Counter[Call], int]:
    """All calls kept in a folder, and how many clouds' logs were full. Raises CannotTell when there are none."""
    found: Counter[Call] = Counter()
    files = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    if not files:
        raise CannotTell(f"no calls in {folder}: run make e2e, or a part of it with {VARIABLE}={folder}")
    for file in files:
        for each in file["calls"]:
            times = each.pop("times")
            found[Call(**each)] += times
    return found, sum(file["is_full"] for file in files)


# What is granted ----------------------------------------------------------------------------------------------------


def parsed(template: Path) -> dict[str, Node]:
    """The resources of a template, functions in their long form."""
    # samcli has no types
    whole = importlib.import_module("samcli.yamlhelper").yaml_parse(template.read_text())
    resources: dict[str, Node] = json.loads(json.dumps(whole))["Resources"]
    return resources


def roles(resources: dict[str, Node]) -> list[str]:
    """The logical ids of all roles."""
    return [name for name, entry in resources.items() if entry["Type"] == "AWS::IAM::Role"]


NOT_PLAYED = {"SecurityHubPermissions"}
"""The embedded cloud has no Security Hub: those calls are made on moto (tests/functional/test_channels.py)."""


def grants(resources: dict[str, Node]) -> set[Grant]:
    """What each role may do, by policies of its own and by those attached to it, with every condition fulfilled."""
    found: set[Grant] = set()
    for name, entry in resources.items():
        if name in NOT_PLAYED:
            continue
        properties = entry.get("Properties", {})
        if entry["Type"] == "AWS::IAM::Role":
            policies = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
            found |= {grant for policy in policies for grant in _granted(policy, [name])}
        elif entry["Type"] == "AWS::IAM::Policy":
            found |= set(_granted(properties["PolicyDocument"], [_named(role) for role in properties["Roles"]]))
    return found


def _granted(policy: Node, to: list[str]) -> Iterator[Grant]:
    for written in _listed(policy["Statement"]):
        statement = written["Fn::If"][1] if "Fn::If" in written else written
        if statement["Effect"] != "Allow":
            raise CannotTell(f"statement {statement.get('Sid')} denies; local/granted.py reads only what is allowed")
        for action in _listed(statement["Action"]):
            for resource in _listed(statement["Resource"]):
                yield from (Grant(role=role, action=action, resource=_named(resource)) for role in to)


def _listed(value: Node) -> list[Node]:
    return value if isinstance(value, list) else [value]


def _named(node: Node) -> str:
    """A resource or role as a text: its logical id, `LogicalId.Attribute`, or the ARN with its partition filled in."""
    if isinstance(node, str):
        return node
    ((verb, argument),) = node.items()
    if verb == "Fn::If":
        return _named(argument[1])
    if verb == "Fn::Sub" and isinstance(argument, str):
        return argument.replace("${AWS::Partition}", "aws")
    if verb in ("Ref", "Fn::GetAtt"):
        return argument if isinstance(argument, str) else ".".join(argument)
    raise CannotTell(f"local/granted.py cannot read {verb} of {argument}; teach it there")


# The comparison -----------------------------------------------------------------------------------------------------


class Comparison:
    """Grants and calls of the roles of one template; calls of other roles are left out."""

    def __init__(self, resources: dict[str, Node], calls: Counter[Call]) -> None:
        self.roles = roles(resources)
        self.grants = grants(resources)
        self.calls: dict[str, Counter[Call]] = {role: Counter() for role in self.roles}
        for call, times in calls.items():
            if (role := self._logical(call.role)) is not None:
                self.calls[role][call] += times

    def _logical(self, physical: str) -> str | None:
        """CloudFormation names a role `<stack>-<LogicalId>-<random>`."""
        parts = physical.split("-")
        return next((role for role in self.roles if role in parts[1:-1]), None)

    def granted(self, role: str) -> list[Grant]:
        """All grants of a role."""
        return sorted(grant for grant in self.grants if grant.role == role)

    def used(self, role: str, action: str) -> int:
        """How often the role made the call and was let through."""
        return sum(n for call, n in self.calls[role].items() if call.action == action and not call.is_refused)

    def refused(self, role: str, action: str) -> int:
        """How often the role was refused it, for whatever reason."""
        return sum(n for call, n in self.calls[role].items() if call.action == action and call.is_refused)

    def problems(self) -> list[Problem]:
        """Everything that is wrong, each with what to do."""
        of_roles = [problem for role in self.roles for problem in self._of_role(role)]
        return of_roles + list(self._of_tables())

    def unexercised(self) -> list[str]:
        """Roles that made no call, and were granted something they must call themselves."""
        return [r for r in self.roles if not self.calls[r] and any(by_aws(grant) is None for grant in self.granted(r))]

    def _of_role(self, role: str) -> Iterator[Problem]:
        granted = {grant.action for grant in self.granted(role)}
        if role in self.unexercised():
            yield Problem(text=_UNEXERCISED.format(role=role), needs_all=True)
        else:
            yield from (problem for action in sorted(granted) if (problem := self._usage(role, action)))
        for action in self.ungranted(role):
            text = _UNGRANTED if self.used(role, action) else _MISSING
            yield Problem(text=text.format(role=role, action=action))
        yield from (problem for call in sorted(self.calls[role]) if (problem := self._refusal(role, call)))

    def ungranted(self, role: str) -> list[str]:
        """Actions that the role called without a grant, but for refusals that are meant."""
        granted = {grant.action for grant in self.granted(role)}
        called = {call.action for call in self.calls[role] if not _is_meant(call, role)}
        return sorted(called - granted)

    def _usage(self, role: str, action: str) -> Problem | None:
        """The log names no resources: a call counts for each grant of its action, but for those that AWS uses."""
        of_action = [grant for grant in self.granted(role) if grant.action == action]
        own = [grant.resource for grant in of_action if by_aws(grant) is None]
        if own:
            text = _UNUSED.format(role=role, action=action, resource=", ".join(own))
            is_used = self.used(role, action) or self.refused(role, action)
            return None if is_used else Problem(text=text, needs_all=True)
        entry = by_aws(of_action[0])
        if entry and self.used(role, action):
            return Problem(text=_CALLED.format(role=role, action=action, reason=entry.reason, resource=entry.resource))
        return None

    def _refusal(self, role: str, call: Call) -> Problem | None:
        """A refusal of what the role is granted there does not come from its permissions.

        The policy of a bucket of somebody else's may deny it, as tests do. Topic, table, queues and key are the
        stack's own, so a refusal there is the template's fault unless ON_PURPOSE says otherwise.
        """
        on = [grant.resource for grant in self.granted(role) if grant.action == call.action]
        if not call.is_refused or not on or _is_meant(call, role):
            return None
        bucket = call.resource.strip("/")
        if call.action.startswith("s3:") and bucket and any(fnmatchcase(f"arn:aws:s3:::{bucket}", each) for each in on):
            return None
        where = bucket or " or ".join(on)
        return Problem(text=_REFUSED_THERE.format(role=role, action=call.action, where=where, error=call.error))

    def _of_tables(self) -> Iterator[Problem]:
        for entry in BY_AWS:
            if not any(entry.means(grant) for grant in self.grants):
                yield Problem(text=_NOT_GRANTED.format(action=entry.action, role=entry.role, resource=entry.resource))
        for purpose in ON_PURPOSE:
            if not any(purpose.means(call, role) for role, calls in self.calls.items() for call in calls):
                yield Problem(text=_NOT_REFUSED.format(action=purpose.action, role=purpose.role), needs_all=True)


def _is_meant(call: Call, role: str) -> bool:
    return call.is_refused and any(entry.means(call, role) for entry in ON_PURPOSE)


def by_aws(grant: Grant) -> ByAws | None:
    """The entry of BY_AWS for a grant."""
    return next((entry for entry in BY_AWS if entry.means(grant)), None)


# What it says -------------------------------------------------------------------------------------------------------

_UNUSED = (
    "{role} may {action} on {resource} and never did: write the e2e test that needs it, or take it from the role "
    "(a shared statement: move it to the roles that use it)"
)
_UNEXERCISED = "{role} made no call: run the e2e tests of its function, or write one"
_UNGRANTED = "{role} called {action} without a grant and got an answer: grant it, and see why IAM let it through"
_MISSING = "{role} called {action} and was refused: grant it in template.yaml, or do without the call"
_REFUSED_THERE = (
    "{role} was refused {action} on {where} ({error}): mend the statement's resource or the policy of the topic, "
    "queue or key; if a test means it, add a line with the reason to ON_PURPOSE"
)
_CALLED = "{role} called {action} itself, but BY_AWS says '{reason}' of {resource}: take the line out of BY_AWS"
_NOT_GRANTED = "no role {role} is granted {action} on {resource}: take the line out of BY_AWS, or grant it"
_NOT_REFUSED = "no call of {action} by {role} was refused: take the line out of ON_PURPOSE"
_FULL = "{clouds} clouds logged {limit} calls or more and forgot the first: split the test file, or raise the limit"


def table(compared: Comparison) -> Iterator[str]:
    """A block of lines per role."""
    for role in compared.roles:
        yield f"\n{role}" + ("  (not exercised)" if role in compared.unexercised() else "")
        granted = compared.granted(role)
        width = max((len(grant.resource) for grant in granted), default=0)
        for grant in granted:
            yield f"  {grant.action:32} {grant.resource:{width}}  {_usage(compared, grant)}".rstrip()
        for action in compared.ungranted(role):
            yield f"  {action:32} {'NOT GRANTED':{width}}  {_count(compared, role, action)}"


def _usage(compared: Comparison, grant: Grant) -> str:
    if entry := by_aws(grant):
        return f"by AWS: {entry.reason}"
    return _count(compared, grant.role, grant.action) or "NEVER USED"


def _count(compared: Comparison, role: str, action: str) -> str:
    used, refused = compared.used(role, action), compared.refused(role, action)
    return ", ".join([f"{used} calls"] * bool(used) + [f"{refused} refused"] * bool(refused))


def judge(resources: dict[str, Node], folder: Path, *, partial: bool) -> int:
    """Print tables and what to do; the exit code. partial: what was not used may be due to tests that did not run."""
    calls, full = read(folder)
    compared = Comparison(resources, calls)
    print(*table(compared), sep="\n")
    problems = [*compared.problems(), *([Problem(text=_FULL.format(clouds=full, limit=LOG_LIMIT))] if full else [])]
    wrong = [problem for problem in problems if not (partial and problem.needs_all)]
    for problem in problems:
        print(f"\n{'WRONG' if problem in wrong else 'not judged'}: {problem.text}")
    if not wrong:
        print("\ngranted: nothing wrong" + (", as far as these tests can tell" if partial else ""))
    return 1 if wrong else 0


def main() -> int:
    """Compare; errors are one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m local.granted", description="grants compared with calls")
    parser.add_argument("folder", type=Path, help=f"where {VARIABLE} led the calls")
    parser.add_argument("--partial", action="store_true", help="only a part of e2e ran: what was not used is no error")
    options = parser.parse_args()
    try:
        template = next((each for each in TEMPLATES if each.exists()), TEMPLATES[-1])
        return judge(parsed(template), options.folder, partial=options.partial)
    except (CannotTell, OSError, ValueError) as wrong:
        print(f"granted: {wrong}", file=sys.stderr)
        return 3


def folder_wanted() -> Path | None:
    """Where this process is to keep calls, if at all."""
    named = os.environ.get(VARIABLE)
    return ROOM / named if named else None


if __name__ == "__main__":
    sys.exit(main())
