"""The account's root user in IAM's answers: its access keys, its sessions and its MFA devices.

ministack knows root only as one configured key without a checked signature. Here every credential of root is an
entry in its session store: the signature is checked, and a deleted key stops working.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from local import emulator
from local.devices import Device, Devices

Response = tuple[int, dict[str, str], bytes]
Handler = Callable[[Any], Response]

KEYS_LIMIT = 2
SESSION_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    key_id: str
    secret: str
    created: str
    status: str = "Active"


class Root:
    """Root of one account; the lab key tests start with is not counted among its access keys."""

    def __init__(self, account: str, lab_key: tuple[str, str], devices: Devices) -> None:
        self.account, self.devices = account, devices
        self.arn = f"arn:aws:iam::{account}:root"
        self._lab_key = lab_key
        self._keys: dict[str, _Key] = {}
        self.restore()

    def restore(self) -> None:
        """Register the lab key again, after a reset dropped it."""
        self._keys.clear()
        self._register(*self._lab_key, token=None)

    def access_keys(self) -> list[_Key]:
        return list(self._keys.values())

    def create_key(self) -> _Key:
        """A new long-term key, good at once."""
        key_id, secret = str(emulator.iam._gen_access_key_id()), str(emulator.iam._gen_secret())
        self._keys[key_id] = _Key(key_id=key_id, secret=secret, created=_now())
        self._register(key_id, secret, token=None)
        return self._keys[key_id]

    def set_status(self, key_id: str, status: str) -> bool:
        """Switch a key on or off; an inactive one still counts. False when root has no such key."""
        if key_id not in self._keys:
            return False
        self._keys[key_id] = replace(self._keys[key_id], status=status)
        emulator.sts._sessions.pop(key_id, None)
        if status == "Active":
            self._register(key_id, self._keys[key_id].secret, token=None)
        return True

    def delete_key(self, key_id: str) -> bool:
        """False when root has no such key."""
        if key_id not in self._keys:
            return False
        del self._keys[key_id]
        emulator.sts._sessions.pop(key_id, None)
        return True

    def session(self) -> dict[str, str]:
        """Temporary credentials of root, as `aws login` gives."""
        key_id, secret = str(emulator.iam._gen_session_access_key()), str(emulator.iam._gen_secret())
        token = str(emulator.iam._gen_session_token())
        self._register(key_id, secret, token=token)
        return {"access_key_id": key_id, "secret_access_key": secret, "session_token": token}

    def _register(self, key_id: str, secret: str, *, token: str | None) -> None:
        session: dict[str, Any] = {
            "Arn": self.arn,
            "AccountId": self.account,
            "UserId": self.account,
            "PrincipalType": "Root",
            "SecretAccessKey": secret,
            "SessionToken": token,
        }
        if token:
            session["Expiration"] = time.time() + SESSION_S
        emulator.sts.register_session(key_id, session)


def install(root: Root) -> None:
    """Put root into IAM's answers; calls about users go on to ministack."""
    handlers = emulator.iam._IAM_HANDLERS
    handlers["CreateAccessKey"] = _for_caller(_create_key(root), _limited(handlers["CreateAccessKey"]))
    handlers["ListAccessKeys"] = _for_caller(_list_keys(root), handlers["ListAccessKeys"])
    handlers["DeleteAccessKey"] = _for_caller(_delete_key(root), handlers["DeleteAccessKey"])
    handlers["UpdateAccessKey"] = _for_caller(_update_key(root), handlers["UpdateAccessKey"])
    handlers["ListMFADevices"] = _for_caller(_list_devices(root), handlers["ListMFADevices"])
    handlers["ListVirtualMFADevices"] = _with_root_devices(root, handlers["ListVirtualMFADevices"])
    handlers["GetAccountSummary"] = _with_root_summary(root, handlers["GetAccountSummary"])


def _for_caller(as_root: Handler, as_user: Handler) -> Handler:
    """Without UserName the caller is meant: root itself, or the user who signed."""

    def handle(params: Any) -> Response:
        if emulator.iam._p(params, "UserName"):
            return as_user(params)
        caller = str(emulator.iam_evaluator.caller_arn())
        if caller.endswith(":root"):
            return as_root(params)
        return as_user(dict(params) | {"UserName": [caller.rpartition("/")[2]]})

    return handle


def _limited(create: Handler) -> Handler:
    def create_within_limit(params: Any) -> Response:
        user = emulator.iam._p(params, "UserName")
        owned = [each for each in emulator.iam._access_keys.values() if each["UserName"] == user]
        return _limit_exceeded() if len(owned) >= KEYS_LIMIT else create(params)

    return create_within_limit


def _create_key(root: Root) -> Handler:
    def create(params: Any) -> Response:
        if len(root.access_keys()) >= KEYS_LIMIT:
            return _limit_exceeded()
        key = root.create_key()
        secret = f"<SecretAccessKey>{escape(key.secret)}</SecretAccessKey>"
        return _answer("CreateAccessKey", f"<AccessKey>{_key_xml(key)}{secret}</AccessKey>")

    return create


def _list_keys(root: Root) -> Handler:
    def listed(params: Any) -> Response:
        members = "".join(f"<member>{_key_xml(each)}</member>" for each in root.access_keys())
        return _answer("ListAccessKeys", f"<AccessKeyMetadata>{members}</AccessKeyMetadata>{_COMPLETE}")

    return listed


def _delete_key(root: Root) -> Handler:
    def delete(params: Any) -> Response:
        key_id = str(emulator.iam._p(params, "AccessKeyId"))
        return _answer("DeleteAccessKey", "") if root.delete_key(key_id) else _no_key(key_id)

    return delete


def _update_key(root: Root) -> Handler:
    def update(params: Any) -> Response:
        key_id, status = (str(emulator.iam._p(params, each)) for each in ("AccessKeyId", "Status"))
        return _answer("UpdateAccessKey", "") if root.set_status(key_id, status) else _no_key(key_id)

    return update


def _list_devices(root: Root) -> Handler:
    def listed(params: Any) -> Response:
        members = "".join(
            f"<member><UserName>root</UserName>{_device_xml(each)}</member>"
            for each in root.devices.all()
            if each.active
        )
        return _answer("ListMFADevices", f"<MFADevices>{members}</MFADevices>{_COMPLETE}")

    return listed


def _with_root_devices(root: Root, listing: Handler) -> Handler:
    def listed(params: Any) -> Response:
        status, headers, body = listing(params)
        owner = f"<User><UserId>{root.account}</UserId><Arn>{root.arn}</Arn><CreateDate>{_ENABLED}</CreateDate></User>"
        is_wanted = {"Unassigned": False}.get(emulator.iam._p(params, "AssignmentStatus"), True)
        members = "".join(
            f"<member>{_device_xml(each)}{owner}</member>"
            for each in root.devices.all()
            if each.kind == "virtual" and each.active and is_wanted
        )
        return status, headers, body.replace(b"<VirtualMFADevices>", b"<VirtualMFADevices>" + members.encode(), 1)

    return listed


def _with_root_summary(root: Root, summary: Handler) -> Handler:
    def summed(params: Any) -> Response:
        status, headers, body = summary(params)
        has_device = int(any(each.active for each in root.devices.all()))
        for name, value in (
            ("AccountMFAEnabled", has_device),
            ("AccountAccessKeysPresent", int(bool(root.access_keys()))),
        ):
            pattern = rf"(<key>{name}</key><value>)\d+".encode()
            body = re.sub(pattern, rf"\g<1>{value}".encode(), body)
        return status, headers, body

    return summed


_COMPLETE = "<IsTruncated>false</IsTruncated>"
_ENABLED = "2026-01-01T00:00:00Z"


def _key_xml(key: _Key) -> str:
    # No UserName: the record of root making its own key shows none (CreateAccessKey_root_vendor.json).
    return f"<AccessKeyId>{key.key_id}</AccessKeyId><Status>{key.status}</Status><CreateDate>{key.created}</CreateDate>"


def _device_xml(device: Device) -> str:
    return f"<SerialNumber>{escape(device.serial)}</SerialNumber><EnableDate>{_ENABLED}</EnableDate>"


def _answer(operation: str, inner: str) -> Response:
    body = f"<{operation}Result>{inner}</{operation}Result>" if inner else ""
    answer: Response = emulator.iam._xml(200, f"{operation}Response", body, ns="iam")
    return answer


def _limit_exceeded() -> Response:
    text = f"Cannot exceed quota for AccessKeysPerUser: {KEYS_LIMIT}"
    error: Response = emulator.iam._error(409, "LimitExceeded", text, ns="iam")
    return error


def _no_key(key_id: str) -> Response:
    error: Response = emulator.iam._error(
        404, "NoSuchEntity", f"The Access Key with id {key_id} cannot be found.", ns="iam"
    )
    return error


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
