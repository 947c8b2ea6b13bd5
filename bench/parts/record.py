"""Runs one handler once and writes down what it asks of AWS and what it is answered. Needs nothing but boto3.

python record.py handlers.sweep.handler EVENT.json CALLS.json
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSPreparedRequest
from botocore.client import BaseClient
from botocore.httpsession import URLLib3Session

calls: list[dict[str, Any]] = []
answers: list[dict[str, Any]] = []
_make, _send = getattr(BaseClient, "_make_api_call"), URLLib3Session.send  # noqa: B009  # as below


def make(client: Any, operation: str, params: dict[str, Any]) -> Any:
    """As botocore does."""
    meta = client.meta
    calls.append({"service": meta.service_model.service_name, "region": meta.region_name, "operation": operation})
    calls[-1]["params"] = params
    return _make(client, operation, params)


def send(session: Any, request: AWSPreparedRequest) -> Any:
    """As botocore does."""
    answer = _send(session, request)
    body = request.body.decode() if isinstance(request.body, bytes) else str(request.body or "")
    target = request.url.partition("://")[2].partition("/")[2]
    head = "".join(f"\r\n{name}: {_text(value)}" for name, value in request.headers.items())
    answers.append(
        {
            "method": request.method,
            "target": f"/{target}",
            "head": head,
            "body": body,
            "status": answer.status_code,
            "answer": answer.content.decode("latin-1"),
            "content_type": answer.headers.get("Content-Type", ""),
        }
    )
    return answer


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def main() -> None:
    """Run and write."""
    path, event, out = sys.argv[1:]
    module, _, name = path.rpartition(".")
    setattr(BaseClient, "_make_api_call", make)  # noqa: B010  # no public place shows parameters as they were given
    setattr(URLLib3Session, "send", send)  # noqa: B010  # as above
    getattr(importlib.import_module(module), name)(json.loads(Path(event).read_text()), None)
    Path(out).write_text(json.dumps({"calls": calls, "answers": answers}, default=str))


if __name__ == "__main__":
    main()
