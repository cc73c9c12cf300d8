"""What a split may be, and when a reading agrees with it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import RouterError
from canary.policy.routers.sections import CommandRouter, HaproxyRouter, NginxRouter
from canary.routers import Observation, Reading, Split, router_of
from canary.routers.base import written_pair

RATIOS = st.floats(0, 1)


@pytest.mark.parametrize(
    "rollout", ["", ".", "..", "-x", "a b", "a;b", "a\nb", "a/b", "../../etc", "$(id)", "ä", "x" * 65, "a\x00b"]
)
def test_odd_rollout_ids_are_refused(rollout: str) -> None:
    """Nothing that could be read as a path, an option or a command is taken for a rollout's id."""
    with pytest.raises(RouterError, match="rollout id: expected up to 64"):
        Split(rollout, 0.5)


@pytest.mark.parametrize("weight_ratio", [-0.01, 1.01, 5, math.nan, math.inf, -math.inf])
def test_weights_outside_the_range_are_refused(weight_ratio: float) -> None:
    """A weight is a ratio from 0 to 1; 5 for 5 % is a mistake."""
    with pytest.raises(RouterError, match="expected a ratio from 0 to 1"):
        Split("r-1", weight_ratio)


@given(weight_ratio=RATIOS, testers=st.booleans())
def test_a_split_agrees_with_itself(weight_ratio: float, testers: bool) -> None:
    """Reading back exactly what was asked always agrees."""
    split = Split("r-1", weight_ratio, testers)
    reading = Reading("a", weight_ratio, salt=split.salt, testers=testers)

    assert Observation((reading,)).agrees(split)


@given(asked=RATIOS, found=RATIOS)
def test_another_weight_does_not_agree(asked: float, found: float) -> None:
    """Weights that differ by more than the finest step of any router do not agree."""
    split = Split("r-1", asked)

    assert Observation((Reading("a", found, testers=True),)).agrees(split) == (abs(asked - found) <= 0.00005)


def test_traffic_is_gone_only_when_every_instance_says_so() -> None:
    """One instance with traffic, or one that cannot be read, and a rollback is not done."""
    closed = Split("r-1", 0)
    none = Reading("a", 0.0)

    assert Observation((none, none)).agrees(closed)
    assert not Observation((none, Reading("b", 0.5, testers=True))).agrees(closed)
    assert not Observation((none, Reading("b", None, error="no answer"))).agrees(closed)
    assert Observation((none, Reading("b", 0.5))).weight_ratio == 0.5
    assert Observation((none, Reading("b", None, error="no answer"))).detail == "a: 0%; b: no answer"
    assert Observation((Reading("b", None, error="no answer"),)).weight_ratio is None


@pytest.mark.parametrize("text", ["", "X-Team", ":", "X-Team:", ": inside", "X-Team=inside"])
def test_a_testers_header_is_a_pair(text: str) -> None:
    """Half a pair would let everybody or nobody in."""
    with pytest.raises(RouterError, match=r"router edge: testers\.header: expected `Name: value`"):
        written_pair("edge", "header", text)


def test_every_kind_of_router_can_be_made() -> None:
    """Each kind that a policy may name has a router under the policy's name for it."""
    sections = (
        HaproxyRouter(kind="haproxy", name="front"),
        NginxRouter(kind="nginx", name="edge"),
        CommandRouter(kind="command", name="cloud", set=("true",), read=("true",)),
    )

    assert [router_of(section).name for section in sections] == ["front", "edge", "cloud"]
