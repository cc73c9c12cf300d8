"""The first policy's text: what it proposes and leaves out until somebody wants it."""

from pathlib import Path

import pytest

from canary.policy import load_policy
from canary.policy.kpis import DEFAULT_KPIS
from canaryctl.init.starter import Start, starter

PROPOSED = ("add_to_cart_rate", "checkout_start_rate")


def text_of(*kpis: str) -> str:
    """The text for a shop in which these KPIs can be measured."""
    return starter(Start("shop", "sqlite:///shop.db", "", "nothing is mapped", kpis))


@pytest.mark.parametrize("source", ["starter", "canary.yaml"])
def test_earlier_steps_judge_once_their_mark_is_removed(source: str, tmp_path: Path) -> None:
    """The proposed KPIs are part of a policy that is read without a fault, and roll back."""
    root = Path(__file__).parents[3]
    text = text_of(*DEFAULT_KPIS) if source == "starter" else (root / source).read_text()
    for name in PROPOSED:
        assert f"  # {name}: " in text
        text = text.replace(f"  # {name}: ", f"  {name}: ")
    path = tmp_path / "canary.yaml"
    path.write_text(text)

    kpis = load_policy(path).kpis

    assert [kpis[name].action for name in PROPOSED] == ["rollback", "rollback"]


def test_only_steps_that_the_shop_writes_down_are_proposed() -> None:
    """Without carts there is no word of them."""
    text = text_of("conversion_rate", "checkout_completion_rate")
    assert "checkout_start_rate" in text
    assert "add_to_cart_rate" not in text
    assert "Earlier steps" not in text_of("conversion_rate", "payment_success_rate")
