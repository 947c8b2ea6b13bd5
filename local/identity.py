"""Who made a call: the principal behind an access key, and how CloudTrail writes it down."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local import emulator
from local.exchange import Headers, Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A principal that exists; `session_since` is epoch seconds for temporary credentials, else None."""

    kind: str
    account: str
    arn: str
    principal_id: str
    key_id: str
    session_since: float | None

    @property
    def is_root(self) -> bool:
        return self.kind == "Root"

    @property
    def is_temporary(self) -> bool:
        return self.session_since is not None


def caller_of(headers: Headers, query: Query) -> Caller | None:
    """The principal a request is signed for, None when the key is unknown, inactive or missing."""
    key_id = emulator.router.extract_access_key_id(headers, query)
    account = _account_of(key_id)
    found = emulator.iam_evaluator.resolve_credential(key_id, account) if key_id else None
    if found is None or isinstance(found, emulator.iam_evaluator.CredentialResolutionError):
        return None
    session = emulator.sts._sessions.get(key_id) or {}
    return Caller(
        kind={"User": "IAMUser"}.get(found.principal_type, found.principal_type),
        account=found.account_id,
        arn=found.principal_arn,
        principal_id=found.principal_id,
        key_id=key_id,
        session_since=float(session.get("IssuedAt", 0)) if found.session_token else None,
    )


def _account_of(key_id: str) -> str:
    known = emulator.responses._account_from_sts_session(key_id)
    return str(
        known or emulator.iam_evaluator.find_iam_access_key_account(key_id) or emulator.responses.get_account_id()
    )


def user_identity(caller: Caller, owner: str) -> dict[str, Any]:
    """The `userIdentity` of a record, as the bucket owner's account sees it."""
    if caller.account != owner:
        # Captured: the owner's copy of a cross-account call names no arn and no key.
        return {"type": "AWSAccount", "principalId": caller.principal_id, "accountId": caller.account}
    identity: dict[str, Any] = {
        "type": caller.kind,
        "principalId": caller.principal_id,
        "arn": caller.arn,
        "accountId": caller.account,
        "accessKeyId": caller.key_id,
    }
    if caller.kind == "IAMUser":
        identity["userName"] = caller.arn.rpartition("/")[2]
    if caller.session_since is not None:
        identity["sessionContext"] = _session_context(caller, caller.session_since)
    return identity


def _session_context(caller: Caller, since: float) -> dict[str, Any]:
    created = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    attributes = {"creationDate": created, "mfaAuthenticated": "false"}
    if caller.kind != "AssumedRole":
        return {"attributes": attributes}
    name = caller.arn.split("/")[1]
    role = emulator.iam._roles.get_scoped(caller.account, None, name) or {}
    issuer = {
        "type": "Role",
        "principalId": caller.principal_id.partition(":")[0],
        "arn": role.get("Arn", f"arn:aws:iam::{caller.account}:role/{name}"),
        "accountId": caller.account,
        "userName": name,
    }
    return {"sessionIssuer": issuer, "attributes": attributes}
