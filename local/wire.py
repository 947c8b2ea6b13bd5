"""The parameters of a call, read out of whatever protocol it came in, named and typed as CloudTrail writes them.

botocore's models say which parameters an operation has; keys of maps stay as they were sent.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from local import cbor
from local.exchange import Request

# Signing names whose model has another name.
_MODELS = {"monitoring": "cloudwatch"}
_session = botocore.session.Session()


@cache
def _model(service: str) -> ServiceModel:
    model: ServiceModel = _session.get_service_model(_MODELS.get(service, service))
    return model


def api_version(service: str) -> str:
    return str(_model(service).api_version)


def rest_operation(request: Request, among: frozenset[str]) -> str:
    """Which of these operations of the request's service has its method and path; "" when none has."""
    for name in among:
        http = _model(request.service).operation_model(name).http
        if http["method"] == request.method and _route(http["requestUri"]).fullmatch(request.path.rstrip("/")):
            return name
    return ""


@cache
def _route(template: str) -> re.Pattern[str]:
    """`/functions/{FunctionName}/code` as a pattern with one group per parameter."""
    path = template.partition("?")[0].rstrip("/")
    parts = re.split(r"\{(\w+)\+?\}", path)
    return re.compile("".join(f"(?P<{each}>[^/]+)" if i % 2 else re.escape(each) for i, each in enumerate(parts)))


def parameters(request: Request, operation: str) -> dict[str, Any] | None:
    """What the caller asked, None when it sent no parameter at all."""
    model = _model(request.service).operation_model(operation)
    if model.input_shape is None:
        return None
    found = _structure(model.input_shape, _sent(request, model, model.input_shape))
    return found or None


def _sent(request: Request, model: OperationModel, shape: StructureShape) -> Mapping[str, Any]:
    """The members of the input by the names of the API."""
    kind = request.headers.get("content-type", "")
    if "cbor" in kind:
        return dict(cbor.loads(request.body))
    if kind.startswith("application/x-www-form-urlencoded"):
        flat = parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True)
        value = _unflatten(shape, "", {name: values[0] for name, values in flat.items()})
        return dict(value or {})
    return _json_body(request.body) | _from_route(request, model, shape)


def _json_body(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _from_route(request: Request, model: OperationModel, shape: StructureShape) -> dict[str, Any]:
    """Parameters in the path and in the query string of a REST call."""
    matched = _route(model.http["requestUri"]).fullmatch(request.path.rstrip("/"))
    in_path = matched.groupdict() if matched else {}
    found: dict[str, Any] = {}
    for name, each in shape.members.items():
        place, sent_as = each.serialization.get("location"), each.serialization.get("name", name)
        if place == "uri" and sent_as in in_path:
            found[name] = unquote(in_path[sent_as])
        elif place == "querystring" and sent_as in request.query:
            found[name] = _scalar(each, request.query[sent_as][0])
    return found


def _unflatten(shape: Shape, prefix: str, flat: Mapping[str, str]) -> Any:
    """One value out of `Names.member.1=…`, None when nothing of it was sent."""
    if isinstance(shape, StructureShape):
        dotted = f"{prefix}." if prefix else ""
        members = {
            name: _unflatten(each, f"{dotted}{each.serialization.get('name', name)}", flat)
            for name, each in shape.members.items()
        }
        return {name: value for name, value in members.items() if value is not None} or None
    if isinstance(shape, ListShape):
        return _numbered(shape.member, _list_prefix(shape, prefix), flat) or None
    if isinstance(shape, MapShape):
        entry = prefix if shape.serialization.get("flattened") else f"{prefix}.entry"
        keys = _numbered(shape.key, entry, flat, ".key")
        return dict(zip(keys, _numbered(shape.value, entry, flat, ".value"), strict=False)) or None
    return _scalar(shape, flat[prefix]) if prefix in flat else None


def _list_prefix(shape: ListShape, prefix: str) -> str:
    return (
        prefix
        if shape.serialization.get("flattened")
        else f"{prefix}.{shape.member.serialization.get('name', 'member')}"
    )


def _numbered(shape: Shape, prefix: str, flat: Mapping[str, str], suffix: str = "") -> list[Any]:
    found: list[Any] = []
    while (value := _unflatten(shape, f"{prefix}.{len(found) + 1}{suffix}", flat)) is not None:
        found.append(value)
    return found


def _scalar(shape: Shape, text: str) -> Any:
    if shape.type_name == "boolean":
        return text.lower() == "true"
    if shape.type_name in ("integer", "long"):
        return int(text)
    return float(text) if shape.type_name in ("double", "float") else text


def _written(shape: Shape, value: Any) -> Any:
    """A value as CloudTrail writes it."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return _structure(shape, value)
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_written(shape.member, each) for each in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _written(shape.value, each) for key, each in value.items()}
    return value


def _structure(shape: StructureShape, value: Mapping[str, Any]) -> dict[str, Any]:
    """Known members only; code and secrets (a function's archive, its variables) never reach a record."""
    return {
        name[:1].lower() + name[1:]: _written(each, value[name])
        for name, each in shape.members.items()
        if name in value and each.type_name != "blob" and not each.metadata.get("sensitive")
    }
