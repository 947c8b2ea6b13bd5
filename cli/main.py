"""The operator's command `guardrail`: one file per verb, all with the code that the functions run."""

import sys
from importlib import import_module

import click
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from cli.screen import printable
from cli.stack import NO_REGION, STACK, Stack, Trouble

FINE, FOUND, USAGE, UNKNOWN = 0, 1, 2, 3


VERBS = (
    *("status", "doctor", "runbook", "protect", "contain", "drill", "selectors", "ack", "redrive", "replay", "report"),
    *("cost", "spokes", "uninstall"),
)


class Verbs(click.Group):
    """Each verb is imported when it is asked for: `status` does not wait for what `report` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """For the help, by the alphabet."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a file of cli/; None if there is no such verb."""
        return getattr(import_module(f"cli.{cmd_name}"), cmd_name) if cmd_name in VERBS else None


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--stack", "name", default=STACK, show_default=True, help="Name of the deployed stack.")
@click.option("--profile", help="Profile of the AWS configuration.")
@click.option("--region", help="Region of the stack and its buckets (default: that of the profile).")
@click.version_option(package_name="mfa-delete-guardrail", prog_name="guardrail")
@click.pass_context
def guardrail(context: click.Context, name: str, profile: str | None, region: str | None) -> None:
    """Ask and answer the MFA-delete guardrail.

    Exit code: 0 fine, 1 something found, 2 usage, 3 could not tell (or interrupted, or nobody read on), whatever else
    was found.
    """
    context.obj = Stack(name, profile, region)


def main() -> None:
    """Run; a person reads one sentence, never a traceback."""
    sys.exit(_code() or FINE)


def _code() -> int:
    try:
        return int(guardrail.main(standalone_mode=False) or FINE)
    except SystemExit:  # what click and rich do when the reader has closed the pipe, as head does
        return UNKNOWN
    except click.exceptions.Abort:
        return _told("interrupted")
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    except NoCredentialsError:
        return _told("no credentials; sign in, or give --profile")
    except NoRegionError:
        return _told(NO_REGION)
    except (Trouble, BotoCoreError, ClientError) as wrong:
        return _told(str(wrong))
    except Exception as wrong:  # noqa: BLE001  # exit code 1 would say that something was found
        return _told(f"unexpected {type(wrong).__name__}: {wrong}")


def _told(sentence: str) -> int:
    """On one line, whatever an answer of AWS had in it."""
    click.echo(f"guardrail: {printable(sentence)}", err=True)
    return UNKNOWN


if __name__ == "__main__":
    main()
