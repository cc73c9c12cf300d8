"""Limits are published under bounded names, in base units, and read as people write them."""

import dataclasses
from typing import Literal

import pytest

from canary import names
from canary.mixin.limits import Limit, confidence_z, gate_of, limits, quantile_requests
from canary.policy.gates import UrlGate
from canary.policy.release import Phase
from scripts import golden


@pytest.mark.parametrize("kind", sorted(golden.POLICIES))
def test_every_limit_has_a_known_name_and_is_there_once(kind: str) -> None:
    """The names are those of the contract, so that no policy makes a new one; each KPI has its own."""
    known = {value for name, value in vars(names).items() if name.startswith("LIMIT_")}
    found = limits(golden.policy(kind))

    assert {limit.name for limit in found} <= known
    assert len({(limit.name, limit.kpi) for limit in found}) == len(found)
    assert {limit.kpi for limit in found if limit.name == names.LIMIT_KPI_TOLERANCE} == set(golden.policy(kind).kpis)


def test_every_known_name_is_published_by_some_policy() -> None:
    """No name of the contract is a dead letter."""
    known = {value for name, value in vars(names).items() if name.startswith("LIMIT_")}

    assert {limit.name for kind in golden.POLICIES for limit in limits(golden.policy(kind))} == known


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (Limit("critical_error_ratio", 0.1), "10%"),
        (Limit("staleness_seconds", 120), "2m"),
        (Limit("minimum_requests", 50), "50"),
        (Limit("stable_error_factor", 1.5), "1.5"),
    ],
)
def test_a_limit_reads_as_in_a_policy(limit: Limit, text: str) -> None:
    """The unit that ends the name says how the value is written."""
    assert limit.text == text


def test_more_windows_ask_for_more_certainty() -> None:
    """A rollout of twice the length is looked at twice as often, and shares its alpha among as many looks."""
    short = golden.policy("minimal")
    long = dataclasses.replace(short, phases=short.phases * 2)

    assert confidence_z(long) > confidence_z(short)
    assert quantile_requests(long) > quantile_requests(short)


@pytest.mark.parametrize(
    ("gate", "told"), [(None, "none"), ("manual", "manual"), (UrlGate(url="http://127.0.0.1/ok"), "url")]
)
def test_each_gate_has_a_name(gate: Literal["manual"] | UrlGate | None, told: str) -> None:
    """Nothing, a person, the user's own check."""
    phase = dataclasses.replace(golden.policy("minimal").phases[0], gate=gate)

    assert isinstance(phase, Phase)
    assert gate_of(phase) == told
    assert told in names.GATES
