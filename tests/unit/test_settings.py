"""The environment that template.yaml gives the functions."""

import pytest

from shared import settings

GOOD = dict.fromkeys(settings.ENV_NAMES, "x") | {
    "AWS_REGION": "us-east-1",
    "WATCH_VERSION_DELETES": "yes",
    "EXEMPTION_MAX_DAYS": "90",
}


def test_a_complete_environment_is_read() -> None:
    assert settings.from_env(GOOD).watch_version_deletes is True
    assert settings.from_env(GOOD | {"WATCH_VERSION_DELETES": "no"}).watch_version_deletes is False


def test_every_missing_variable_is_named() -> None:
    with pytest.raises(settings.BadSettings, match="ALERT_TOPIC_ARN, TABLE_NAME"):
        settings.from_env(GOOD | {"TABLE_NAME": " ", "ALERT_TOPIC_ARN": ""})


def test_contacts_and_the_account_name_may_be_empty() -> None:
    told = settings.from_env(GOOD | {"ACCOUNT_NAME": "", "ROOT_CONTACT": "", "SECURITY_CONTACT": "", "ACCOUNT_ID": "1"})
    assert told.account_label == "1"


def test_the_longest_exception_is_a_number_of_days() -> None:
    with pytest.raises(settings.BadSettings, match="must be a number of days"):
        settings.from_env(GOOD | {"EXEMPTION_MAX_DAYS": "soon"})


def test_a_switch_is_yes_or_no() -> None:
    with pytest.raises(settings.BadSettings, match="must be yes or no"):
        settings.from_env(GOOD | {"WATCH_VERSION_DELETES": "perhaps"})
