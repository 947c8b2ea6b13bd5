"""How AWS is called: short time-outs and few retries, so that a function fails well before its own limit."""

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

WORKERS = 16
"""How many buckets a sweep reads at once; connections are pooled for as many."""

AWS_ERRORS = (ClientError, BotoCoreError)

CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"total_max_attempts": 3, "mode": "standard"},
    max_pool_connections=WORKERS,
)


def code(error: ClientError) -> str:
    """The error code of an AWS answer, empty if it has none."""
    return error.response.get("Error", {}).get("Code", "")


def message(error: ClientError) -> str:
    """The error text of an AWS answer, empty if it has none."""
    return error.response.get("Error", {}).get("Message", "")


_REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"})


def is_refused(error: ClientError) -> bool:
    """Whether the caller may not do this; each service has its own word for it."""
    return code(error) in _REFUSED
