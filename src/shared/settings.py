"""What the stack was told: read from the environment once, at cold start."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

PAGED = ("critical", "high", "medium")
"""From which severity on a finding may page; what is low or for information only never does."""


class BadSettings(Exception):
    """A variable is missing or wrong; the function cannot start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One field per environment variable of the same name in capitals (template.yaml, Globals)."""

    table_name: str
    alert_topic_arn: str
    dead_letter_url: str
    protect_tag_key: str
    protect_tag_value: str
    watch_version_deletes: bool
    account_id: str
    partition: str
    account_name: str
    root_contact: str
    security_contact: str
    script_sha256: str
    stack_name: str
    exemption_max_days: int
    group_window_minutes: int
    group_threshold: int
    root_key_grace_minutes: int
    history_days: int
    aws_region: str
    sweep_rate: str
    deploy_principals: str
    heartbeat_url: str
    canary_bucket: str
    version: str
    pager_topic_arn: str
    chat_topic_arn: str
    event_bus_name: str
    security_hub: bool
    page_from: str
    spoke_role_name: str = ""
    spoke_external_id: str = ""
    spoke_queue_url: str = ""

    @property
    def account_label(self) -> str:
        """`prod (111122223333)`, or the id alone when the account was given no name."""
        return f"{self.account_name} ({self.account_id})" if self.account_name else self.account_id

    @property
    def has_spokes(self) -> bool:
        """Whether other accounts and Regions send their events here."""
        return bool(self.spoke_role_name)

    def is_home(self, account: str, region: str) -> bool:
        """Whether this is the account and Region of the stack itself."""
        return (account, region) == (self.account_id, self.aws_region)

    def of_account(self, account_id: str, account_name: str) -> "Settings":
        """The same, with the names that an alert about another account shows."""
        return replace(self, account_id=account_id, account_name=account_name)

    @property
    def command(self) -> str:
        """How the operator calls the command line for this very stack; what it is to do follows."""
        return f"guardrail --stack {self.stack_name} --region {self.aws_region}"


_MAY_BE_EMPTY = {
    "account_name", "root_contact", "security_contact", "deploy_principals", "heartbeat_url", "canary_bucket",
    "pager_topic_arn", "chat_topic_arn", "event_bus_name",
    "spoke_role_name", "spoke_external_id", "spoke_queue_url",
}  # fmt: skip
ENV_NAMES = frozenset(field.name.upper() for field in fields(Settings)) - {"AWS_REGION"}  # that one is Lambda's own


def from_env(env: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises BadSettings naming every variable that is missing or wrong."""
    values = {field.name: env.get(field.name.upper(), "").strip() for field in fields(Settings)}
    missing = sorted(name.upper() for name, value in values.items() if not value and name not in _MAY_BE_EMPTY)
    if missing:
        raise BadSettings(f"missing environment variables: {', '.join(missing)}; deploy template.yaml again")
    choices = {field.name: values.pop(field.name) for field in fields(Settings) if field.type is bool}
    for name, value in choices.items():
        if value not in {"yes", "no"}:
            raise BadSettings(f"{name.upper()} is {value!r}; it must be yes or no")
    if values["page_from"] not in PAGED:
        raise BadSettings(f"PAGE_FROM is {values['page_from']!r}; it must be one of {', '.join(PAGED)}")
    numbers = {field.name: values.pop(field.name) for field in fields(Settings) if field.type is int}
    for name, value in numbers.items():
        if not value.isdigit() or not int(value):
            raise BadSettings(f"{name.upper()} is {value!r}; it must be a whole number above 0")
    counts = {name: int(value) for name, value in numbers.items()}
    chosen = {name: value == "yes" for name, value in choices.items()}
    spoke = [name for name in values if name.startswith("spoke_")]
    if len({bool(values[name]) for name in spoke}) > 1:
        raise BadSettings(f"{', '.join(spoke).upper()} go together; deploy with all of them, or with none")
    return Settings(**chosen, **counts, **values)  # type: ignore[arg-type]
