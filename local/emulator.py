"""The ministack modules and private names this room leans on, checked once at import.

ministack has no types and no public interface for these, so every module is `Any` here and its names are
asserted: a new release that renames one fails at start with one sentence instead of failing somewhere later.
Import this only after `server.py` has set the environment, which ministack reads at import.
"""

import importlib
from importlib.metadata import version
from typing import Any

PINNED = "1.5.33"


class PinBroken(Exception):
    """ministack does not have a name this room needs."""


def _module(name: str, *needed: str) -> Any:
    """Import `ministack.<name>`; raises PinBroken when one of the needed names is missing."""
    module = importlib.import_module(f"ministack.{name}")
    missing = [each for each in needed if not hasattr(module, each)]
    if missing:
        raise PinBroken(
            f"ministack {version('ministack')} has no {name}.{missing[0]}; local/ is written for ministack {PINNED}"
        )
    return module


app: Any = _module("app", "app", "_reset_all_state", "_routing_params", "detect_service")
iam_actions: Any = _module("core.iam_actions", "extract_iam_action", "extract_resource_arn")
iam_evaluator: Any = _module(
    "core.iam_evaluator",
    "resolve_credential",
    "CredentialResolutionError",
    "find_iam_access_key_account",
    "caller_arn",
    "EvalContext",
    "evaluate_resource_policy",
    "evaluate",
    "_gather_role_policies",
    "_principal_org_id",
    "_resource_policy",
)
responses: Any = _module("core.responses", "request_scope", "get_account_id", "get_region", "_account_from_sts_session")
router: Any = _module("core.router", "extract_access_key_id", "extract_region")
concurrency: Any = _module("core.concurrency", "esm_wake")
account: Any = _module("services.account", "_DISPATCH")
provisioners: Any = _module("services.cloudformation.provisioners", "_RESOURCE_HANDLERS", "_eb_rule_bus_name")
create_stack: Any = _module("services.cloudformation.handlers", "_evaluate_conditions")
stacks: Any = _module("services.cloudformation.stacks", "_evaluate_conditions")
arn: Any = _module("core.arn", "parse_arn", "ArnParseError")
iam: Any = _module(
    "services.iam", "_IAM_HANDLERS", "_access_keys", "_roles", "_users", "_xml", "_error", "_p", "_list_mfa_devices",
    "_list_virtual_mfa_devices", "_get_account_summary", "_create_access_key", "_list_access_keys",
    "_delete_access_key", "_update_access_key", "_gen_access_key_id", "_gen_session_access_key",
    "_gen_session_token", "_gen_secret",
)  # fmt: skip
sts: Any = _module("services.sts", "_sessions", "register_session")
s3: Any = _module(
    "services.s3", "_dispatch", "_error", "_buckets", "_bucket_lifecycle", "_bucket_versioning", "_fire_s3_event",
    "_bucket_tags", "_parse_tags_xml",
)  # fmt: skip
sns: Any = _module(
    "services.sns", "_fanout", "_topics", "_publish", "_publish_batch", "_subscribe", "_list_subscriptions",
    "_matches_filter_policy", "_list_subscriptions_by_topic", "_refresh_subscription_counts", "_p", "_error",
    "_resolve_message_for_protocol", "_build_envelope", "_deliver_to_http", "_send_subscription_confirmation",
    "_topic_by_arn_any_scope", "_find_subscription", "handle_request", "topic_policy_allows", "publish_internal",
    "SnsPublishError",
)  # fmt: skip
cloudwatch: Any = _module(
    "services.cloudwatch", "time", "record_metric", "_evaluate_alarm", "_alarms", "_composite_alarms", "_metrics",
    "_record_history", "_dispatch_alarm_actions", "_evaluate_parent_alarms", "_dims_key", "_stat_value", "_calc_stats",
)  # fmt: skip
kms: Any = _module("services.kms", "_resolve_key")
sqs: Any = _module(
    "services.sqs", "_receive_messages_for_esm", "_queue_by_arn", "_queues", "_ensure_msg_fields", "queue_policy_allows"
)
cloudtrail: Any = _module(
    "services.cloudtrail", "_create_trail", "_put_event_selectors", "_start_logging", "_event_selectors",
    "_account_trail_items", "_DEFAULT_EVENT_SELECTORS",
)  # fmt: skip
eventbridge: Any = _module(
    "services.eventbridge", "_dispatch_event", "_dispatch_to_lambda", "_dispatch_to_sqs", "_dispatch_to_sns",
    "_invoke_target", "_now_ts",
    "_tick_scheduled_rules", "_target_matches_request_scope", "_pattern_event_view", "_event_buses",
    "_event_bus_policies", "_remove_permission", "_rules", "_rule_key",
)  # fmt: skip
scheduler: Any = _module("services.scheduler", "_tick_schedules", "time")
lambda_runtime: Any = _module("core.lambda_runtime", "_PYTHON_WORKER_SCRIPT", "zipfile", "Worker")
lambda_svc: Any = _module(
    "services.lambda_svc", "_get_func_record_for_ref", "_execution_record_for_config", "invoke_async_with_retry",
    "_iter_all_esms", "_emit_lambda_metrics", "_emit_lambda_logs", "_execute_function", "_execute_function_dispatch",
)  # fmt: skip
