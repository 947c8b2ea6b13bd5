"""How AWS is called: short time-outs and few retries, so that a function fails well before its own limit.

Clients are botocore's own. boto3 would add nothing that is used here, and its import alone is a tenth of a cold start
(bench/README.md).
"""

import gzip
import json
import os
from functools import cache
from threading import Lock
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.loaders import JSONFileLoader, Loader
from botocore.session import Session

WORKERS = 16
"""How many buckets a sweep reads at once; connections are pooled for as many."""

AWS_ERRORS = (ClientError, BotoCoreError)

CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"total_max_attempts": 3, "mode": "standard"},
    max_pool_connections=WORKERS,
)


SERVICES = [
    "account", "cloudformation", "cloudtrail", "cloudwatch", "dynamodb", "events", "iam", "kms", "lambda",
    "resourcegroupstaggingapi", "s3", "s3control", "scheduler", "securityhub", "sns", "sqs", "sts",
    "signin", "sso", "sso-oidc",  # called by botocore itself, for a profile of IAM Identity Center or `aws login`
]  # fmt: skip
"""All that functions and command call; another one is unknown to the session."""


class _Files(JSONFileLoader):
    """botocore's own makes an OrderedDict of every object of its models, at twice the time."""

    def load_file(self, file_path: str) -> Any:
        """The data of a model; None where it is in another folder."""
        for path, opened in ((f"{file_path}.json", open), (f"{file_path}.json.gz", gzip.open)):
            if os.path.isfile(path):
                with opened(path, "rb") as file:
                    return json.loads(file.read())
        return None


class _Loader(Loader):
    """botocore lists each of its four hundred folders, twice for a client, to learn whether it knows a service."""

    def list_available_services(self, type_name: str) -> list[str]:
        """Those that we call."""
        return SERVICES


ADAPTIVE = CONFIG.merge(Config(retries={"total_max_attempts": 6, "mode": "adaptive"}))
"""For S3, of which a sweep asks thousands of things: told to slow down, all threads together do, as far as it takes."""

_MAKING = Lock()
"""Clients may be used by many threads, and are made by one at a time: a session is not made for more."""


@cache
def session() -> Session:
    """The one that all clients share: it reads the configuration and loads botocore's data once."""
    made = Session()
    made.register_component("data_loader", _Loader(file_loader=_Files()))
    return made


@cache
def client(service: str, region: str | None = None, config: Config | None = None) -> Any:
    """The client of a service, with the credentials and, unless told otherwise, the Region of the session."""
    config = config or (ADAPTIVE if service == "s3" else CONFIG)
    with _MAKING:
        return session().create_client(service, region_name=region, config=config)


def sign_in(profile: str | None = None, region: str | None = None) -> None:
    """Begin a new session with this profile and Region, or with those of the environment."""
    session.cache_clear()
    client.cache_clear()
    for name, value in (("profile", profile), ("region", region)):
        if value:
            session().set_config_variable(name, value)


def code(error: ClientError) -> str:
    """The error code of an AWS answer, empty if it has none."""
    return error.response.get("Error", {}).get("Code", "")


def message(error: ClientError) -> str:
    """The error text of an AWS answer, empty if it has none."""
    return error.response.get("Error", {}).get("Message", "")


_REFUSED = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
    | {"AllAccessDisabled", "AccountProblem", "403"}  # S3's: the bucket or its account is barred; a HEAD has no words
)


def is_refused(error: ClientError) -> bool:
    """Whether the caller may not do this; each service has its own word for it."""
    return code(error) in _REFUSED


_MALFORMED = frozenset({"ValidationException", "InvalidInputException", "RequestEntityTooLarge"})


def is_malformed(error: Exception) -> bool:
    """Whether the request itself was no good, by its form or its size: trying it again is useless."""
    return isinstance(error, ParamValidationError) or (isinstance(error, ClientError) and code(error) in _MALFORMED)
