"""The deployed stack as the command sees it: outputs, parameters, and a Guardrail with the operator's credentials."""

from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from shared import sweep
from shared.aws.calling import CONFIG, client, session, sign_in
from shared.evidence import Memory
from shared.facts import BucketKey
from shared.guardrail import Guardrail
from shared.settings import Settings

PATIENT = CONFIG.merge(Config(read_timeout=905, retries={"total_max_attempts": 1, "mode": "standard"}))
STACK = "mfa-delete-guardrail"
NO_REGION = "no Region is set; give --region, or set one in the profile or in AWS_DEFAULT_REGION"


class Trouble(Exception):
    """The command could not do what was asked; one sentence that says what to do."""


class Stack:
    """A stack by name; it need not exist: then there is nothing to remember, and the defaults count."""

    def __init__(self, name: str, profile: str | None = None, region: str | None = None) -> None:
        self.name = name
        self.made_with = (name, profile, region)  # makes another one like it, in another process
        sign_in(profile, region)

    @cached_property
    def s3(self) -> Any:
        """The client for logs in buckets."""
        return self.client("s3")

    def client(self, service: str, region: str | None = None) -> Any:
        """A client of the operator's, who is asked for nothing until one is needed."""
        # A sweep may take its 15 minutes, and must not be started again meanwhile.
        return client(service, region, PATIENT if service == "lambda" else None)

    @cached_property
    def _description(self) -> dict[str, Any]:
        return self._described()

    def _described(self, region: str | None = None) -> dict[str, Any]:
        try:
            answer = self.client("cloudformation", region).describe_stacks(StackName=self.name)
        except ClientError as error:
            if "does not exist" in str(error):
                return {}
            raise
        return dict(answer["Stacks"][0])

    @property
    def exists(self) -> bool:
        """Whether it is deployed in this account and Region; before its first deployment is done it has no outputs."""
        return bool(self._description.get("Outputs"))

    @property
    def absence(self) -> str:
        """Why there is nothing to ask, as half a sentence."""
        if not self._description:
            return f"there is no stack {self.name} in this account and Region"
        return f"the stack {self.name} was never deployed whole: it is in {self._description['StackStatus']}"

    @property
    def way_out(self) -> str:
        """What to do about it."""
        deploy = "sam build && sam deploy --guided"
        if not self._description:
            return f"give --stack, --region or --profile, or deploy it: {deploy}"
        why = f"aws cloudformation describe-stack-events --stack-name {self.name}"
        return f"{why} says why; wait, or deploy it: {deploy} (after ROLLBACK_COMPLETE delete it first)"

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs by name. Raises Trouble when it is not deployed here."""
        if not self.exists:
            raise Trouble(f"{self.absence}; {self.way_out}")
        return {each["OutputKey"]: each["OutputValue"] for each in self._description["Outputs"]}

    @property
    def is_protected(self) -> bool:
        """Whether CloudFormation refuses to delete it."""
        return bool(self._description.get("EnableTerminationProtection"))

    def physical(self, kind: str) -> list[str]:
        """Names of the stack's resources of this type; none when it is not deployed."""
        return [each["PhysicalResourceId"] for each in self._resources if each["ResourceType"] == kind]

    @cached_property
    def _resources(self) -> list[dict[str, Any]]:
        if not self.exists:
            return []
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.name)
        return [each for page in pages for each in page["StackResourceSummaries"]]

    @cached_property
    def guard(self) -> Guardrail:
        """The very Guardrail that the functions use, with the operator's credentials."""
        return Guardrail(self.settings, lambda: datetime.now(UTC))

    @cached_property
    def memories(self) -> dict[BucketKey, Memory]:
        """All that is known here, read once; nothing before anything is deployed."""
        told = self.settings
        return (
            self.guard.store.recall_all(told.account_id, told.aws_region, now=self.guard.clock()) if self.exists else {}
        )

    def watched(self) -> list[str]:
        """Names of the buckets whose deletes must be seen; without a stack nothing was judged before."""
        return sweep.watched(self.guard, self.memories)

    @cached_property
    def settings(self) -> Settings:
        """What the stack was told; the template's defaults where it is not deployed."""
        parameters = self._description.get("Parameters", []) if self.exists else []
        told = {each["ParameterKey"]: each["ParameterValue"] for each in parameters}
        outputs = self.outputs if self.exists else {}
        caller = self.client("sts").get_caller_identity()["Arn"].split(":")
        return Settings(
            table_name=outputs.get("TableName", ""),
            alert_topic_arn=outputs.get("AlertTopicArn", ""),
            dead_letter_url=outputs.get("DeadLetterUrl", ""),
            protect_tag_key=told.get("ProtectTagKey", "mfa-delete"),
            protect_tag_value=told.get("ProtectTagValue", "required"),
            watch_version_deletes=told.get("WatchVersionDeletes", "yes") == "yes",
            account_id=caller[4],
            partition=caller[1],
            account_name=told.get("AccountName", ""),
            root_contact=told.get("RootContact", ""),
            security_contact=told.get("SecurityContact", ""),
            script_sha256=outputs.get("ScriptSha256", ""),
            stack_name=self.name,
            exemption_max_days=int(told.get("ExemptionMaxDays", "90")),
            group_window_minutes=int(told.get("GroupWindowMinutes", "60")),
            group_threshold=int(told.get("GroupThreshold", "10")),
            root_key_grace_minutes=int(told.get("RootKeyGraceMinutes", "60")),
            history_days=int(told.get("HistoryDays", "400")),
            aws_region=_region(),
            sweep_rate=told.get("SweepRate", "rate(1 hour)"),
            deploy_principals=told.get("DeployPrincipals", ""),
            heartbeat_url="",  # the functions' business
            canary_bucket=outputs.get("CanaryBucketName", ""),
            version=outputs.get("Version", ""),
            pager_topic_arn=outputs.get("PagerTopicArn", ""),
            chat_topic_arn=outputs.get("ChatTopicArn", ""),
            event_bus_name=outputs.get("EventBusName", ""),
            security_hub=told.get("SecurityHub", "no") == "yes",
            page_from=told.get("PageFrom", "critical"),
            spoke_role_name=told.get("SpokeRoleName", "") if told.get("OrganizationId") else "",
            spoke_external_id=told.get("SpokeExternalId", ""),
        )


def _region() -> str:
    region = session().get_config_variable("region")
    if not region:
        raise Trouble(NO_REGION)
    return str(region)
