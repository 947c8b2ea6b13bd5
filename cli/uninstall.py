"""`guardrail uninstall --dry-run`: what the deletion of the stack leaves, and the commands that remove it."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from cli.leftovers import Kind, Leftover, leftovers
from cli.room import Room
from cli.screen import printable
from cli.stack import Stack
from shared.aws.calling import AWS_ERRORS

REFUSAL = """\
this command deletes nothing, in no case: --dry-run shows what would be left, and the commands that remove it. The stack
itself is deleted by
  {update} --no-enable-termination-protection
  {delete}
or, with its packages in SAM's bucket, by
  {sam}
Buckets keep MFA delete all the same: only root can turn it off."""
HEADINGS = {
    Kind.FIRST: "Must go first, or the deletion fails:",
    Kind.LOST: "Would be lost:",
    Kind.STAYS: "Stays, until somebody runs:",
    Kind.ENDS: "Ends by itself:",
    Kind.UNKNOWN: "Could not be told:",
}


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would be left. There is no other way: nothing is deleted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def uninstall(stack: Stack, dry_run: bool, as_json: bool) -> int:
    """Show what deleting the stack would leave, lose and end, with the command that removes each; it only reads.

    Exit code: 0 the stack can be deleted, 1 something must go first, 2 no --dry-run, 3 something could not be told.
    """
    if not dry_run:
        raise click.UsageError(REFUSAL.format(**_deletion(stack.name, stack.made_with[2])))
    stack.outputs  # noqa: B018  # raises Trouble where there is no stack
    room = Room(stack)
    found = leftovers(room)
    if as_json:
        for each in found:
            click.echo(json.dumps(asdict(each)))
    else:
        for line in _lines(room, found):
            click.echo(printable(line))
    kinds = {each.kind for each in found}
    return 3 if Kind.UNKNOWN in kinds else int(Kind.FIRST in kinds)


def _deletion(name: str, region: str | None) -> dict[str, str]:
    where = f"--stack-name {name}" + (f" --region {region}" if region else "")
    return {
        "update": f"aws cloudformation update-termination-protection {where}",
        "delete": f"aws cloudformation delete-stack {where}",
        "sam": f"sam delete {where}",
    }


def _lines(room: Room, found: Sequence[Leftover]) -> Iterator[str]:
    yield "dry run: nothing was deleted, and this command never deletes anything"
    for line in _loudly(room):
        yield ""
        yield from textwrap.wrap(line, 100, break_long_words=False, break_on_hyphens=False)
    for kind, heading in HEADINGS.items():
        some = [each for each in found if each.kind is kind]
        if some:
            yield ""
            yield heading
        for each in some:
            yield f"  {each.about}: {each.meaning}"
            yield from (f"      {command}" for command in each.commands)
    yield ""
    yield "Then:"
    deletion = _deletion(room.stack.name, room.told.aws_region)
    yield f"  {deletion['delete']}"
    yield f"  or, with its packages in SAM's bucket: {deletion['sam']}"


def _loudly(room: Room) -> Iterator[str]:
    """What must not be overlooked: no deletion takes it away, and nobody will tell of it any more."""
    try:
        kept = [bucket.name for bucket in room.buckets if bucket.has_mfa_delete]
        watched = room.watched
    except AWS_ERRORS:
        yield "BUCKETS KEEP MFA DELETE AND VERSIONING; which of them have it could not be told."
        return
    yield (
        f"BUCKETS KEEP MFA DELETE AND VERSIONING. It is on, and stays on, for {len(kept)} of those that are watched:"
        f" {', '.join(kept) or 'none'}. Only root of account {room.told.account_id}, with a code, can turn it off."
    )
    yield (
        f"FROM THEN ON NOBODY WATCHES {len(watched)} BUCKET(S): {', '.join(watched) or 'none'}. Nobody is told when MFA"
        " delete is turned off there, versioning suspended or a version deleted; what is open now stays as it is."
    )
