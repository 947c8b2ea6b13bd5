"""`guardrail status`: every bucket of the account and Region, judged by the code of the sweep."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.screen import at_once, csv_text, is_narrow, printable, together
from cli.stack import Stack
from cli.standing import finding_entry, not_seen_lines, standing, standing_lines, unread_lines
from shared import sweep, unread
from shared.aws.buckets import Enrolment, tags_of
from shared.evidence import Evidence, Memory
from shared.facts import BucketKey, BucketState, Lifecycle, RootState, Verdict
from shared.finding import Severity
from shared.states import unreadable

WORST_FIRST = (Verdict.UNPROTECTED, Verdict.SUSPENDED, Verdict.UNVERIFIABLE, Verdict.EXEMPT, Verdict.PROTECTED)
COLOURS = {Verdict.PROTECTED.value: "green", Verdict.EXEMPT.value: "cyan"}
COLUMNS = ("bucket", "region", "verdict", "since", "why", "open findings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A bucket of interest: what was read now, what was remembered, its tags as listed."""

    bucket: BucketKey
    evidence: Evidence
    memory: Memory
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a look at everything found: the JSON form, the buckets that have a verdict, what is remembered."""

    document: dict[str, Any]
    judged: list[Seen]
    memories: dict[BucketKey, Memory]

    @property
    def exit_code(self) -> int:
        """As the help of the command says."""
        verdicts = {each.evidence.verdict for each in self.judged}
        if Verdict.UNVERIFIABLE in verdicts or "unverifiable" in self.document["root"] or self.document["unread"]:
            return 3
        is_heard = self.document["health"]["sees_and_is_heard"]
        return int(bool(verdicts - {Verdict.PROTECTED, Verdict.EXEMPT}) or not is_heard)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="All of it as one JSON object; replay --state takes it.")
@click.option("--csv", "as_csv", is_flag=True, help="The enrolled buckets as CSV, worst first.")
@click.pass_obj
def status(stack: Stack, as_json: bool, as_csv: bool) -> int:
    """Show which buckets are protected, which are not, and what is open; also before anything is deployed.

    Exit code: 0 every enrolled bucket is protected or exempt, and the guardrail sees and is heard; 1 something is not
    so; 3 some buckets, or something that is remembered of them, could not be read.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    found = survey(stack)
    if as_json:
        click.echo(json.dumps(found.document, indent=2))
    elif as_csv:
        rows = (_row(name, entry) for name, entry in found.document["buckets"].items())
        click.echo(csv_text(COLUMNS, rows), nl=False)
        health = found.document["health"]
        wrong = standing_lines(health, stack.settings.command)
        for line in [*wrong, *unread_lines(found.document["unread"]), *not_seen_lines(health)]:
            click.echo(printable(line), err=True)
    else:
        _show(found.document, stack.settings.command)
    return found.exit_code


def survey(stack: Stack) -> Survey:
    """Look at every bucket of interest, root, and how the guardrail itself stands.

    What does not wait for an answer is asked at once: on the way to AWS and back most of the time is spent.
    """
    _, everyone, tagged = together(lambda: stack.settings, lambda: _all_buckets(stack), _all_tagged)
    everyone -= {stack.settings.canary_bucket}
    near = {n: t.near for n, found in tagged.items() if (t := tags_of(found, *_tag(stack))).near and n in everyone}
    memories = stack.memories
    (*seen, root), health, parts = together(
        lambda: _looked_at(stack, tagged, memories), lambda: standing(stack, memories), lambda: _parts(stack)
    )
    judged = [each for each in seen if each.evidence.verdict is not None]
    document = _document(stack, everyone, judged, near, parts)
    document |= {"root": _root(root), "health": health, "unread": unread.keys(memories)}
    return Survey(document=document, judged=judged, memories=memories)


def _tag(stack: Stack) -> tuple[str, str]:
    return stack.settings.protect_tag_key, stack.settings.protect_tag_value


def _all_buckets(stack: Stack) -> set[str]:
    s3 = stack.client("s3")
    region = s3.meta.region_name
    pages = s3.get_paginator("list_buckets").paginate(MaxBuckets=1000)
    found = (bucket for page in pages for bucket in page["Buckets"])
    return {bucket["Name"] for bucket in found if bucket.get("BucketRegion", region) == region}


def _all_tagged() -> dict[str, Mapping[str, str]]:
    return dict(Enrolment("", "").all_tagged())


def _looked_at(
    stack: Stack, tagged: Mapping[str, Mapping[str, str]], memories: Mapping[BucketKey, Memory]
) -> list[Seen]:
    """Every enrolled bucket, every one that was judged before, and root, which has no name."""
    guard, settings = stack.guard, stack.settings
    listed = {
        BucketKey(account=settings.account_id, region=settings.aws_region, name=name): tags_of(found, *_tag(stack))
        for name, found in tagged.items()
    }
    enrolled = {b: tags for b, tags in listed.items() if tags.tagged and b.name != settings.canary_bucket}
    known = {bucket for bucket, memory in memories.items() if bucket.is_bucket and sweep.is_ours(memory)}

    def look(bucket: BucketKey) -> Seen:
        memory = memories.get(bucket, Memory())
        if bucket.is_bucket:
            evidence = sweep.look_at(bucket, memory, guard, enrolled.get(bucket), settles=False)
        else:
            evidence = sweep.look_at_root(bucket, memory, guard)
        return Seen(bucket=bucket, evidence=evidence, memory=memory, tags=tagged.get(bucket.name, {}))

    root = BucketKey(account=settings.account_id, region=settings.aws_region, name="")
    return at_once("reading buckets", look, [*sorted(enrolled.keys() | known, key=lambda each: each.name), root])


def _parts(stack: Stack) -> dict[str, list[str]]:
    kinds = {"trails": "AWS::CloudTrail::Trail", "rules": "AWS::Events::Rule"}
    return {name: stack.physical(kind) for name, kind in kinds.items()}


def _document(
    stack: Stack, everyone: set[str], judged: list[Seen], near: Mapping[str, str], parts: Mapping[str, list[str]]
) -> dict[str, Any]:
    settings = stack.settings
    counts = Counter(each.evidence.verdict for each in judged)
    return {
        "guardrail": {
            "account": settings.account_id,
            "account_name": settings.account_name or None,
            "region": settings.aws_region,
            "stack": stack.name if stack.exists else None,
            "tag_key": settings.protect_tag_key,
            "tag_value": settings.protect_tag_value,
            **parts,
            "topics": [settings.alert_topic_arn.rpartition(":")[2]] if settings.alert_topic_arn else [],
        },
        "population": {
            "buckets": len(everyone),
            "enrolled": len(judged),
            **{verdict.value: counts[verdict] for verdict in WORST_FIRST},
            "not_enrolled": len(everyone - {each.bucket.name for each in judged}),
        },
        "nearly_enrolled": dict(near),
        "buckets": {each.bucket.name: _entry(each) for each in sorted(judged, key=_order)},
    }


def _root(root: Seen) -> dict[str, Any]:
    reading = root.evidence.reading
    said = asdict(reading) if isinstance(reading, RootState) else {"unverifiable": getattr(reading, "action", None)}
    return said | {"findings": [finding_entry(f) for f in root.memory.findings if f.is_open]}


def _order(each: Seen) -> tuple[int, str]:
    verdict = each.evidence.verdict
    return (WORST_FIRST.index(verdict) if verdict else len(WORST_FIRST), each.bucket.name)


def _entry(each: Seen) -> dict[str, Any]:
    evidence, reading, last = each.evidence, each.evidence.reading, each.evidence.last
    state = reading if isinstance(reading, BucketState) else None
    refused = unreadable(evidence)
    same = last is not None and last.verdict is evidence.verdict
    return {
        "region": each.bucket.region,
        "verdict": evidence.verdict.value if evidence.verdict else None,
        "since": last.since.isoformat() if last and same else None,
        "why": _why(each),
        "tags": dict(each.tags),
        "versioning": _set_value(state.versioning.value) if state else None,
        "mfa_delete": _set_value(state.mfa_delete.value) if state else None,
        **({"unverifiable": refused.action} if refused and not state else {}),
        "last": {"verdict": last.verdict.value, "since": last.since.isoformat(), "expiries": _expiries(last.expiries)}
        if last
        else None,
        "findings": [finding_entry(f) for f in each.memory.findings if f.is_open],
    }


def _set_value(value: str) -> str | None:
    return None if value == "never set" else value


def _expiries(expiries: Any) -> list[dict[str, Any]]:
    return [asdict(each) for each in expiries or ()]


def _why(each: Seen) -> str:
    evidence, reading = each.evidence, each.evidence.reading
    refused = unreadable(evidence)
    if each.memory.unread:
        return f"{len(each.memory.unread)} item(s) of the table cannot be read by this version"
    if refused:
        return f"needs {refused.action}: {refused.error_code}"
    if not isinstance(reading, BucketState):
        return ""
    reasons = [f"versioning {reading.versioning.value}, MFA delete {reading.mfa_delete.value}"]
    if not reading.tagged:
        reasons.append("protection tag removed")
    if evidence.verdict is Verdict.EXEMPT and reading.exemption:
        reasons.append(f"exempt until {reading.exemption.until}: {reading.exemption.reason}")
    if isinstance(reading.lifecycle, Lifecycle) and reading.lifecycle.rules:
        reasons.append(f"{len(reading.lifecycle.rules)} lifecycle rule(s) in the way")
    return "; ".join(reasons)


def _row(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    found = "; ".join(f"{finding['control']} ({finding['id']})" for finding in entry["findings"])
    return name, entry["region"], entry["verdict"], entry["since"] or "", entry["why"], found


def _show(document: Mapping[str, Any], command: str) -> None:
    console = Console(highlight=False)
    population, region = document["population"], document["guardrail"]["region"]
    named = ", ".join(f"{population[verdict.value]} {verdict.value}" for verdict in WORST_FIRST)
    console.print(f"{population['buckets']} buckets in {region}: {population['enrolled']} enrolled")
    console.print(f"({named}), {population['not_enrolled']} not enrolled")
    if document["guardrail"]["stack"] is None:
        console.print(
            "no stack of that name is deployed here: the defaults count, and no findings are known", style="yellow"
        )
    if "unverifiable" in document["root"]:
        console.print(f"root could not be looked at: needs {document['root']['unverifiable']}", style="yellow")
    for name, tag in document["nearly_enrolled"].items():
        console.print(escape(printable(f"looks enrolled and is not: {name} carries {tag}")), style="yellow")
    _show_buckets(console, document["buckets"])
    for line in [*standing_lines(document["health"], command), *unread_lines(document["unread"])]:
        console.print(escape(printable(line)), style="red")
    for line in not_seen_lines(document["health"]):
        console.print(escape(printable(line)), style="yellow")
    for name, finding in _findings(document):
        said = f"{finding['id']}  {finding['severity']:8} {finding['control']}: {name} ({finding['status']})"
        console.print(escape(said))


def _findings(document: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """All that is open, the severest first."""
    found = [(name, finding) for name, entry in document["buckets"].items() for finding in entry["findings"]]
    found += [("root user", finding) for finding in document["root"]["findings"]]
    found += [("the guardrail itself", finding) for finding in document["health"]["findings"]]
    order = [severity.value for severity in Severity]
    return sorted(found, key=lambda each: order.index(each[1]["severity"]))


def _show_buckets(console: Console, buckets: Mapping[str, Mapping[str, Any]]) -> None:
    """A table; on a narrow screen a block for each bucket."""
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS[:-1]:
        table.add_column(column.capitalize() if column == "region" else column, overflow="fold")
    for name, entry in buckets.items():
        verdict = f"[{COLOURS.get(entry['verdict'], 'red')}]{entry['verdict']}[/]"
        since, why = (entry["since"] or "now")[:10], escape(printable(entry["why"]))
        if is_narrow(console):
            console.print(f"\n{verdict}  {name}")
            console.print(f"{entry['region']}, since {since}")
            console.print(why)
        else:
            table.add_row(name, entry["region"], verdict, since, why)
    if table.row_count:
        console.print(table)
    elif buckets:
        console.print()
