"""The session that all clients share: small, and no smaller than what signs an operator in."""

import hashlib
import io
import json
from pathlib import Path

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from shared.aws import calling

PORTAL = "https://example.awsapps.com/start"


class Raw(io.BytesIO):
    """A body as botocore reads it."""

    def stream(self) -> list[bytes]:
        return [self.read()]


def test_a_profile_of_iam_identity_center_signs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = f"sso_start_url = {PORTAL}\nsso_region = eu-west-1\nsso_account_id = 111122223333\nsso_role_name = OnCall\n"
    (tmp_path / "config").write_text(f"[profile on-call]\nregion = eu-west-1\n{told}")
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    token = {"startUrl": PORTAL, "region": "eu-west-1", "accessToken": "made-up", "expiresAt": "2100-01-01T00:00:00Z"}
    (cache / f"{hashlib.sha1(PORTAL.encode(), usedforsecurity=False).hexdigest()}.json").write_text(json.dumps(token))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    # botocore keeps its folder of tokens in a constant, resolved when it is imported
    monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    role = {"accessKeyId": "AKIAEXAMPLE", "secretAccessKey": "s", "sessionToken": "t", "expiration": 4102444800000}

    def answer(**_: object) -> AWSResponse:
        return AWSResponse(PORTAL, 200, HTTPHeaders(), Raw(json.dumps({"roleCredentials": role}).encode()))

    calling.sign_in("on-call")
    try:
        calling.session().get_component("event_emitter").register("before-send.sso", answer)
        found = calling.session().get_credentials()
        assert found
        assert found.get_frozen_credentials().access_key == "AKIAEXAMPLE"
    finally:
        calling.sign_in()
