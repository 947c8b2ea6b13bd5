"""The operator's command `guardrail`: one file per verb, all with the code that the functions run."""

import sys
from importlib.metadata import version

import click
from botocore.exceptions import BotoCoreError, ClientError

from cli.ack import ack
from cli.doctor import doctor
from cli.drill import drill
from cli.redrive import redrive
from cli.replay import replay
from cli.report import report
from cli.selectors import selectors
from cli.stack import STACK, Stack, Trouble
from cli.status import status

FINE, FOUND, USAGE, UNKNOWN = 0, 1, 2, 3


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--stack", "name", default=STACK, show_default=True, help="Name of the deployed stack.")
@click.option("--profile", help="Profile of the AWS configuration.")
@click.option("--region", help="Region of the stack and its buckets (default: that of the profile).")
@click.version_option(version("mfa-delete-guardrail"), prog_name="guardrail")
@click.pass_context
def guardrail(context: click.Context, name: str, profile: str | None, region: str | None) -> None:
    """Ask and answer the MFA-delete guardrail.

    Exit codes: 0 fine, 1 something found, 2 usage, 3 could not tell.
    """
    context.obj = Stack(name, profile, region)


for verb in (status, doctor, drill, selectors, ack, redrive, replay, report):
    guardrail.add_command(verb)


def main() -> None:
    """Run; a person reads one sentence, never a traceback."""
    try:
        sys.exit(guardrail.main(standalone_mode=False) or FINE)
    except click.exceptions.Abort:
        click.echo("guardrail: interrupted", err=True)
        sys.exit(UNKNOWN)
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(wrong.exit_code)
    except (Trouble, BotoCoreError, ClientError) as wrong:
        click.echo(f"guardrail: {wrong}", err=True)
        sys.exit(UNKNOWN)
    except Exception as wrong:  # noqa: BLE001  # exit code 1 would say that something was found
        click.echo(f"guardrail: unexpected {type(wrong).__name__}: {wrong}", err=True)
        sys.exit(UNKNOWN)


if __name__ == "__main__":
    main()
