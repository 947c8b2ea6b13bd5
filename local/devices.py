"""Root's MFA devices and their six-digit codes, each code good once."""

import base64
import hashlib
import re
from dataclasses import asdict, dataclass, replace

import pyotp

from local.clock import Clock

STEP_S = 30
LIMIT = 8  # devices of mixed kinds per root user (IAM user guide)
DEFAULT_NAME = "root-account-mfa-device"
KINDS = ("virtual", "hardware", "passkey")


class Refused(Exception):
    """An answer of S3 to a call it will not do: error code, HTTP status, message."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(message)
        self.code, self.status, self.message = code, status, message


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device; `seed` is empty for a passkey, which has no codes."""

    kind: str
    serial: str
    seed: str
    active: bool = True


class Devices:
    """The devices of one root user and the codes already spent."""

    def __init__(self, account: str, clock: Clock) -> None:
        self._account, self._clock = account, clock
        self._by_serial: dict[str, Device] = {}
        self._spent: set[tuple[str, int]] = set()
        self._issued: dict[str, int] = {}
        self.default = self.add("virtual", DEFAULT_NAME)

    def all(self) -> list[Device]:
        return list(self._by_serial.values())

    def add(self, kind: str, name: str) -> Device:
        """Assign a new device; `name` is the serial itself for hardware. Raises ValueError when it cannot be."""
        if kind not in KINDS:
            raise ValueError(f"no device kind {kind!r}; one of {', '.join(KINDS)}")
        if len(self._by_serial) >= LIMIT:
            raise ValueError(f"root already has {LIMIT} devices")
        serial = {
            "virtual": f"arn:aws:iam::{self._account}:mfa/{name}",
            "hardware": name,
            "passkey": f"arn:aws:iam::{self._account}:u2f/root-account/{name}",
        }[kind]
        device = Device(kind=kind, serial=serial, seed="" if kind == "passkey" else _seed(serial))
        self._by_serial[serial] = device
        return device

    def remove(self, serial: str) -> None:
        self._by_serial.pop(serial)

    def set_active(self, serial: str, active: bool) -> None:
        self._by_serial[serial] = replace(self._by_serial[serial], active=active)

    def next_code(self, serial: str) -> str:
        """A code never handed out nor spent; runs ahead of the clock when asked faster than one per half minute."""
        device = self._by_serial[serial]
        spent = [counter for each, counter in self._spent if each == serial]
        counter = max(self._counter(), self._issued.get(serial, 0) + 1, max(spent, default=0) + 1)
        self._issued[serial] = counter
        return pyotp.HOTP(device.seed).at(counter)

    def spend(self, header: str) -> None:
        """Check the value of x-amz-mfa and mark its code as spent; raises Refused with S3's own answer."""
        shape = re.fullmatch(r"(\S+) (\S+)", header)
        if shape is None:
            raise Refused(
                "InvalidArgument",
                400,
                "Mfa header is invalid -- the header should be formatted as {serialNumber}(space){tokenCode}",
            )
        serial, code = shape.groups()
        device = self._by_serial.get(serial)
        if device is None:
            text = f"The device with serial number {serial} that generated token {code} is not owned by the"
            raise Refused("NotDeviceOwnerError", 400, f"{text} authenticated user")
        if not device.active:
            raise Refused("DeviceNotActiveError", 400, "The device is not currently active.")
        counter = self._match(device, code)
        if counter is None:
            text = "The serial number and/or token code you provided is not valid."
            raise Refused("TokenCodeInvalidError", 400, text)
        self._spent.add((serial, counter))

    def _match(self, device: Device, code: str) -> int | None:
        if not device.seed:
            return None
        now = self._counter()
        codes = pyotp.HOTP(device.seed)
        latest = max(now + 1, self._issued.get(device.serial, 0))
        fresh = (each for each in range(now - 1, latest + 1) if (device.serial, each) not in self._spent)
        return next((each for each in fresh if codes.at(each) == code), None)

    def _counter(self) -> int:
        return int(self._clock.time() // STEP_S)


def _seed(serial: str) -> str:
    # Derived, not random: a demo can be written down, and nothing real hangs on it.
    return base64.b32encode(hashlib.sha256(serial.encode()).digest()[:20]).decode()


def as_json(device: Device) -> dict[str, object]:
    return asdict(device)
