"""A finding whose form cannot be made, by a bug of ours: it stays owed, and holds up no other."""

import importlib
from typing import Any

import pytest

from handlers import sweep
from tests.functional.conftest import Stage
from tests.functional.test_channels import channels
from tests.functional.test_handlers import TICK, protected

__all__ = ["channels"]


@pytest.mark.parametrize(
    ("module", "form"), [("render", "alert"), ("render", "_digest_line"), ("render_pager", "page")]
)
def test_one_finding_that_has_no_form_holds_up_no_other(
    channels: Stage, monkeypatch: pytest.MonkeyPatch, module: str, form: str
) -> None:
    """Eight are more than go singly, so that some are told in a digest, where one has no line either."""
    stage, room = channels, importlib.import_module(f"shared.{module}")
    broken, real = {"vault-0", "vault-7"}, getattr(room, form)

    def make(told: Any, *rest: Any, **more: Any) -> Any:
        if told.finding.bucket.name in broken:
            raise ValueError("a bug")
        return real(told, *rest, **more)

    for number in range(8):
        protected(stage, f"vault-{number}")
    for number in range(8):
        stage.mfa_delete[f"vault-{number}"] = "Disabled"
    with monkeypatch.context() as patch:
        patch.setattr(room, form, make)
        with pytest.raises(ExceptionGroup, match="could not be done"):
            stage.invoke(sweep.handler, TICK)
        left = {one.finding.bucket.name for one in stage.guard.store.owed()}
        assert left
        assert left <= broken
    stage.later(minutes=15)
    stage.invoke(sweep.handler, TICK)
    assert stage.guard.store.owed() == []
