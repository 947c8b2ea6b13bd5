"""An organization of several accounts in one emulator: who is in it, what they are called, and a key for each root.

ministack has accounts, but knows of no member of an organization but its founder.
"""

import json
from typing import Any

from local import emulator, selectors
from local.server import ACCOUNT, NAMES, ORGANIZATION, REGION, root_key

_ELSEWHERE = [account for account in NAMES if account != ACCOUNT]


def install() -> None:
    """Put everybody in place inside ministack."""
    emulator.iam_evaluator._principal_org_id = _organization_of
    emulator.account._DISPATCH["/getAccountInformation"] = _information
    restore()


def restore() -> None:
    """Register the other accounts' keys and trails, at the start and after a reset dropped them."""
    for account in _ELSEWHERE:
        key_id, secret = root_key(account)
        session = {
            "Arn": f"arn:aws:iam::{account}:root",
            "AccountId": account,
            "UserId": account,
            "PrincipalType": "Root",
            "SecretAccessKey": secret,
            "SessionToken": None,
        }
        emulator.sts.register_session(key_id, session)
        selectors.put_lab_trail(account, REGION)


def _organization_of(account: str) -> str | None:
    return ORGANIZATION if NAMES.get(account) else None


def _information(_payload: Any) -> tuple[int, dict[str, str], bytes]:
    account = str(emulator.responses.get_account_id())
    told = {"AccountId": account, "AccountName": NAMES.get(account) or account}
    return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()
