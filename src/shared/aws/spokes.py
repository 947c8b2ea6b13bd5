"""Other accounts and Regions: clients that read there in the role of spoke.yaml. Imported only where there are some."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared import quoting
from shared.aws import calling
from shared.aws.calling import AWS_ERRORS, CONFIG, code, is_refused
from shared.aws.parts import depth, is_gone
from shared.aws.roster import Roster
from shared.facts import SPOKE, Condition, Spoke, State
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RENEW = timedelta(minutes=5)
"""Credentials are asked for anew this long before they expire."""
CLIENTS = 128
"""Clients kept at once; a client holds megabytes, and an organization has thousands of accounts."""
SILENT = timedelta(hours=3)
"""A spoke says hello once an hour (spoke.yaml)."""
OVERHEAR = timedelta(hours=1)
UNDELIVERED = "mfa-delete-guardrail-undelivered"
"""The queue of a spoke's events that the hub's bus did not take, as spoke.yaml names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """Temporary credentials in one account; never shown."""

    id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: datetime


class Spokes:
    """Clients in other accounts and Regions, each made when it is needed."""

    def __init__(self, told: Settings, clock: Callable[[], datetime], db: "DynamoDBClient") -> None:
        self._told, self._clock = told, clock
        self.roster = Roster(told.table_name, told.spoke_queue_url, db)
        self._keys: dict[str, _Key] = {}
        self._names: dict[str, str] = {}
        self._heard: dict[tuple[str, str], datetime] = {}
        self._lock = Lock()
        self._made = lru_cache(CLIENTS)(_made)  # by credentials, so that renewed ones bring a new client

    def client(self, service: str, account: str, region: str) -> Any:
        """A client of the role there. Raises ClientError of AssumeRole when the role is refused, or is not there."""
        with self._lock:  # neither sessions nor the cache like to be asked twice at once
            return self._made(service, region, self._key(account))

    def role(self, account: str) -> str:
        """The ARN of the role that is assumed in an account."""
        return f"arn:{self._told.partition}:iam::{account}:role/{self._told.spoke_role_name}"

    def _key(self, account: str) -> _Key:
        known = self._keys.get(account)
        if known is None or known.expires_at - self._clock() < RENEW:
            known = self._keys[account] = self._assumed(account)
        return known

    def _assumed(self, account: str) -> _Key:
        answer = calling.client("sts").assume_role(
            RoleArn=self.role(account),
            RoleSessionName=self._told.stack_name[:64],
            ExternalId=self._told.spoke_external_id,
        )["Credentials"]
        return _Key(
            id=answer["AccessKeyId"],
            secret=answer["SecretAccessKey"],
            token=answer["SessionToken"],
            expires_at=answer["Expiration"],
        )

    def overhear(self, account: str, region: str) -> None:
        """An event is as good as a hello; noted once an hour by each function."""
        now = self._clock()
        if now - self._heard.get((account, region), datetime.min.replace(tzinfo=UTC)) > OVERHEAR:
            self.roster.hear(Spoke(account=account, region=region, heard_at=now))
            self._heard[account, region] = now

    # ---- is it there? ------------------------------------------------------------------------------------------------

    def heard(self, spoke: Spoke) -> Condition:
        """Whether its last hello is fresh. A request where it seems not to be: its turn may have waited long."""
        oldest = self._clock() - SILENT
        if spoke.heard_at >= oldest or self.roster.heard_at(spoke) >= oldest:
            return Condition(about=SPOKE, state=State.FINE, meaning="it says hello")
        return _bad(
            spoke,
            "silent",
            f"has not said hello since {quoting.minute(spoke.heard_at)}: its events may not arrive either",
            f"aws events list-rules --region {spoke.region}; deploy spoke.yaml anew; or acknowledge this, if it is no "
            "longer to be watched",
            blinds=True,
        )

    def delivered(self, spoke: Spoke) -> Condition:
        """Whether its events were all taken. One request."""
        sqs = self.client("sqs", spoke.account, spoke.region)
        try:
            waiting = depth(sqs, f"{sqs.meta.endpoint_url}/{spoke.account}/{UNDELIVERED}")
        except ClientError as error:
            if not (is_refused(error) or is_gone(error)):
                raise
            meaning = f"nobody knows whether its events are delivered ({error.operation_name}: {code(error)})"
            return _bad(spoke, "incomplete", meaning, "deploy spoke.yaml anew")
        if not waiting:
            return Condition(about=SPOKE, state=State.FINE, meaning="its events were taken")
        mend = (
            f"read the messages of the queue {UNDELIVERED}, whose ERROR_CODE says why, then aws sqs purge-queue; every "
            "sweep reads the state of every bucket"
        )
        return _bad(spoke, "undelivered", f"{waiting} of its events were not taken by the hub's bus", mend)

    def unreadable(self, spoke: Spoke, error: Exception) -> Condition:
        """Its role, or a list that every sweep needs, is refused. Raises an error that is no refusal again."""
        if not (isinstance(error, ClientError) and is_refused(error)):
            raise error
        self._keys.pop(spoke.account, None)  # sessions of a role that is made anew are other ones
        meaning = f"nobody knows whether its buckets are protected ({error.operation_name}: {code(error)})"
        mend = (
            f"aws iam get-role --role-name {self._told.spoke_role_name}; deploy spoke.yaml anew, with our external id"
        )
        return _bad(spoke, "unreadable", meaning, mend)

    # ---- what is it called? ------------------------------------------------------------------------------------------

    def note_name(self, spoke: Spoke) -> None:
        """Ask what the account is called, and keep it; where that may not be asked, nothing is kept. Two requests."""
        try:
            answer = self.client("account", spoke.account, spoke.region).get_account_information()
        except AWS_ERRORS:
            return  # a name is worth no alert
        self.roster.note_name(spoke.account, str(answer.get("AccountName", ""))[:50])

    def name(self, account: str) -> str:
        """What an account is called, as it was when this function started or later; empty if nobody knows."""
        if account not in self._names:
            try:
                self._names[account] = self.roster.name(account)
            except AWS_ERRORS:
                return ""  # an alert goes out without it
        return self._names[account]


def _bad(spoke: Spoke, problem: str, meaning: str, mend: str, *, blinds: bool = False) -> Condition:
    return Condition(
        about=SPOKE,
        state=State.BAD,
        problem=f"spoke-{problem}",
        meaning=f"account {spoke.account}, {spoke.region}: {meaning}",
        mend=f"in that account: {mend}",
        blinds=blinds,
    )


def _made(service: Any, region: str, key: _Key) -> Any:
    return calling.session().create_client(
        service,
        region_name=region,
        config=CONFIG,
        aws_access_key_id=key.id,
        aws_secret_access_key=key.secret,
        aws_session_token=key.token,
    )
