"""The environment that template.yaml gives the functions."""

import pytest

from shared import settings

GOOD = dict.fromkeys(settings.ENV_NAMES, "x") | {
    "AWS_REGION": "us-east-1",
    "WATCH_VERSION_DELETES": "yes",
    "SECURITY_HUB": "no",
    "PAGE_FROM": "critical",
    "EXEMPTION_MAX_DAYS": "90",
    "GROUP_WINDOW_MINUTES": "60",
    "GROUP_THRESHOLD": "10",
    "ROOT_KEY_GRACE_MINUTES": "60",
    "HISTORY_DAYS": "400",
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


@pytest.mark.parametrize("name", ["EXEMPTION_MAX_DAYS", "GROUP_WINDOW_MINUTES", "GROUP_THRESHOLD", "HISTORY_DAYS"])
@pytest.mark.parametrize("value", ["soon", "0", "-1", "1.5"])
def test_a_number_is_whole_and_above_zero(name: str, value: str) -> None:
    with pytest.raises(settings.BadSettings, match=f"{name} is .* whole number above 0"):
        settings.from_env(GOOD | {name: value})


def test_a_stack_without_spokes_says_nothing_of_them() -> None:
    none = dict.fromkeys(("SPOKE_ROLE_NAME", "SPOKE_EXTERNAL_ID", "SPOKE_QUEUE_URL"), "")
    assert settings.from_env(GOOD | none).has_spokes is False
    assert settings.from_env(GOOD).has_spokes is True


@pytest.mark.parametrize("left_out", ["SPOKE_ROLE_NAME", "SPOKE_EXTERNAL_ID", "SPOKE_QUEUE_URL"])
def test_of_what_spokes_need_nothing_may_be_left_out(left_out: str) -> None:
    # without an external id anybody who knows the role's name could use the hub as a deputy
    with pytest.raises(settings.BadSettings, match="go together"):
        settings.from_env(GOOD | {left_out: ""})


def test_an_alert_about_another_account_shows_its_names_and_the_commands_of_this_stack() -> None:
    told = settings.from_env(GOOD | {"ACCOUNT_ID": "111122223333", "STACK_NAME": "hub"})
    other = told.of_account("444455556666", "dev")
    assert other.account_label == "dev (444455556666)"
    assert other.command == told.command == "guardrail --stack hub --region us-east-1"
    assert told.is_home("111122223333", "us-east-1")
    assert not told.is_home("111122223333", "eu-west-1")
    assert not told.is_home("444455556666", "us-east-1")


@pytest.mark.parametrize("name", ["WATCH_VERSION_DELETES", "SECURITY_HUB"])
def test_a_switch_is_yes_or_no(name: str) -> None:
    with pytest.raises(settings.BadSettings, match=f"{name} is 'perhaps'; it must be yes or no"):
        settings.from_env(GOOD | {name: "perhaps"})


def test_what_is_low_never_pages() -> None:
    with pytest.raises(settings.BadSettings, match="PAGE_FROM is 'low'; it must be one of critical, high, medium"):
        settings.from_env(GOOD | {"PAGE_FROM": "low"})
