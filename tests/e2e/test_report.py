"""`guardrail report` of a deployed stack: history as the functions wrote it, and the doctor's own looks."""

import json
from pathlib import Path

from local.cloud import Cloud
from tests.e2e.test_deliveries import guardrail, vault


def test_a_report_of_a_deployed_stack(cloud: Cloud, outputs: dict[str, str], tmp_path: Path) -> None:
    vault(cloud, "reported-vault")
    cloud.client("lambda").invoke(FunctionName=outputs["SweepFunctionName"], Payload=b'{"sweep": "by hand"}')
    file = tmp_path / "report.html"
    done = guardrail(cloud, "report", "--html", str(file), "--json")
    assert "Traceback" not in done.stderr, done.stderr
    said = json.loads(done.stdout)
    [bucket] = [one for one in said["buckets"] if one["name"] == "reported-vault"]
    assert bucket["spans"][0]["standing"] == "not observed"
    assert bucket["spans"][-1]["standing"] == bucket["standing"] != "not observed"
    assert {each["about"] for each in said["guardrail"]["conditions"]} >= {"stack", "trail", "rule", "queue", "look"}
    assert said["made"]["version"]
    assert "reported-vault" in file.read_text()
