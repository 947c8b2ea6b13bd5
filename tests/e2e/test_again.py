"""What the other files are given for a deployed stack is what `sam deploy` makes."""

import json
import re
from typing import Any

from local import stack
from local.cloud import Cloud
from tests.e2e import again
from tests.e2e.troubles import room_of


def made(cloud: Cloud, outputs: dict[str, str]) -> dict[str, Any]:
    """All that CloudFormation says of the stack, but for times and for what luck there is in names."""
    stacks = cloud.client("cloudformation")
    [told] = stacks.describe_stacks(StackName="guardrail")["Stacks"]
    parts = room_of(cloud, "guardrail", outputs).parts
    functions = [part for name, part in sorted(parts.items()) if name.endswith("Function")]
    codes = [cloud.client("lambda").get_function_configuration(FunctionName=each) for each in functions]
    return {
        "template": {
            stage: re.sub(
                r"(samclisourcebucket)-\w+",
                r"\1",
                str(stacks.get_template(StackName="guardrail", TemplateStage=stage)["TemplateBody"]),
            )
            for stage in ("Original", "Processed")
        },
        "parameters": sorted(told["Parameters"], key=json.dumps),
        "status": told["StackStatus"],
        "capabilities": told["Capabilities"],
        "parts": sorted(parts),
        "outputs": sorted(outputs),
        "codes": [(each["CodeSha256"], each["Handler"], each["MemorySize"], each["Timeout"]) for each in codes],
        "subscriptions": sorted(
            (each["Protocol"], each["Endpoint"], each["SubscriptionArn"].count(":"))
            for each in cloud.client("sns").list_subscriptions()["Subscriptions"]
        ),
    }


def test_the_stack_made_again_is_the_one_that_sam_deploys() -> None:
    with Cloud.start() as one, Cloud.start() as other:
        by_sam = made(one, stack.deploy(one, Drill="yes"))
        by_us = made(other, again.deploy(other, Drill="yes"))
    assert by_us == by_sam
    assert len(by_sam["codes"]) == 5
