"""`guardrail runbook`: the page that an alert would bring, for the bucket as it is now."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace

import click
from rich.console import Console
from rich.markdown import Markdown

from cli.names import key_of
from cli.screen import printable
from cli.stack import Stack, Trouble
from shared import runbook as pages
from shared import sweep, verdict
from shared.controls import BY_ID
from shared.evidence import Evidence, Memory
from shared.facts import BucketKey, BucketState, Gone, Unreadable, Verdict

FITTING = {
    Verdict.UNPROTECTED: "turn-mfa-delete-on",
    Verdict.EXEMPT: "turn-mfa-delete-on",
    Verdict.SUSPENDED: "resume-versioning",
    Verdict.UNVERIFIABLE: "let-the-guardrail-read",
}
NO_SHA = "not known here, as no stack is deployed: ask whoever gave you the script"
_FENCED = re.compile(r"^( *)```[a-z]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@click.command()
@click.argument("bucket", required=False)
@click.option("--section", metavar="NAME", help="Another section than the one that fits now.")
@click.option("--list", "lists", is_flag=True, help="Only list the names of all sections.")
@click.pass_obj
def runbook(stack: Stack, bucket: str | None, section: str | None, lists: bool) -> int:
    """Print the runbook of BUCKET, for the state in which it is now, as its alert would.

    Markdown on a pipe. Exit code: 0 printed, or the bucket is protected; 2 no such section; 3 could not tell.
    """
    if lists:
        click.echo("\n".join(pages.sections()))
        return 0
    if section is not None and section not in pages.sections():
        raise click.UsageError(f"there is no section {printable(section)}; guardrail runbook --list names them")
    if bucket is None:
        if section is None or "{{bucket}}" in pages.sections()[section]:
            raise click.UsageError("give the name of the bucket")
        key = BucketKey(account=stack.settings.account_id, region=stack.settings.aws_region, name="")
        _show(_page(stack, section, key, pages.NO_OBSTACLE))
        return 0
    key = key_of(stack, bucket)
    memory = stack.guard.store.recall(key, now=stack.guard.clock()) if stack.exists else Memory()
    evidence = sweep.look_at(key, memory, stack.guard, None)
    chosen = section or _fitting(evidence)
    for note in _notes(evidence, chosen):
        click.echo(f"guardrail: {printable(note)}", err=True)
    if chosen is None:
        click.echo(f"{key.name} is protected: versioning and MFA delete are on. Nothing is to be done.")
    else:
        _show(_page(stack, chosen, key, _obstacle(evidence)))
    return 0


def _fitting(evidence: Evidence) -> str | None:
    """The section for the state of now; None if the bucket is protected. Raises Trouble when there is no bucket."""
    reading, bucket = evidence.reading, evidence.trigger.bucket
    if isinstance(reading, Gone):
        if evidence.memory.judged:
            return "look-into-a-deleted-bucket"
        raise Trouble(f"there is no bucket {bucket.name} in account {bucket.account}")
    found = evidence.verdict or _as_if_enrolled(evidence)
    if found is Verdict.PROTECTED and evidence.verdict and isinstance(reading, BucketState) and not reading.tagged:
        return "put-the-tag-back"
    return FITTING.get(found) if found else None


def _as_if_enrolled(evidence: Evidence) -> Verdict | None:
    return verdict.of(evidence.reading, judged_before=True, now=evidence.now, longest=evidence.rules.longest_exemption)


def _notes(evidence: Evidence, chosen: str | None) -> Iterator[str]:
    """What the page itself does not say of the bucket."""
    reading, name = evidence.reading, evidence.trigger.bucket.name
    if isinstance(reading, Unreadable):
        yield f"{name} could not be read: it needs {reading.action} ({reading.error_code})"
    if isinstance(reading, BucketState):
        yield f"{name}: versioning {reading.versioning.value}, MFA delete {reading.mfa_delete.value}"
        if evidence.verdict is Verdict.EXEMPT and reading.exemption:
            yield f"{name} is exempt until {reading.exemption.until}: {reading.exemption.reason}"
    if evidence.verdict is None and not isinstance(reading, Gone):
        yield f"{name} is not enrolled; guardrail protect {name} does that"
    for finding in evidence.memory.findings:
        other = BY_ID[finding.control].runbook
        if finding.is_open and other != chosen:
            yield f"{finding.control} ({finding.short_id}) is open too: --section {other}"


def _obstacle(evidence: Evidence) -> str:
    reading, bucket = evidence.reading, evidence.trigger.bucket
    if isinstance(reading, Unreadable):
        return pages.obstacle(bucket, reading)
    return pages.obstacle(bucket, reading.lifecycle if isinstance(reading, BucketState) else None)


def _page(stack: Stack, section: str, bucket: BucketKey, obstacle: str) -> str:
    told = stack.settings
    return pages.filled(section, bucket, replace(told, script_sha256=told.script_sha256 or NO_SHA), obstacle)


def _show(page: str) -> None:
    if not sys.stdout.isatty():
        return click.echo(page)
    console, at = Console(), 0
    for block in _FENCED.finditer(page):
        console.print(Markdown(page[at : block.start()]))
        # Not by Markdown, which folds long lines: a command that is copied must come out whole.
        lines = [line.removeprefix(block[1]) for line in block[2].rstrip("\n").split("\n")]
        console.print("", *lines, "", sep="\n", style="cyan", markup=False, highlight=False, soft_wrap=True)
        at = block.end()
    console.print(Markdown(page[at:]))
    return None
