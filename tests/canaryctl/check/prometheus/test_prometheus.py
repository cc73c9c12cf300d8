"""Rulers other than Prometheus: what they have loaded is held against the form in which it was generated for them."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from canary.policy import Policy
from canary.prometheus import Prometheus
from canary.prometheus.promql import canonical
from canary.units import parse_duration
from canaryctl.check import Finding, Status
from canaryctl.check.prometheus.prometheus import check_prometheus
from canaryctl.generated import generated_files
from rules.generate import rule_groups
from rules.targets import mimir_namespace, thanos_rules
from tests.support.web.webserver import served

Write = Callable[[str], Policy]


def ruler(groups: list[Mapping[str, Any]]) -> list[web.RouteDef]:
    """A ruler that has these groups, and answers every question with one series."""

    def loaded(rule: Mapping[str, Any]) -> dict[str, Any]:
        kind = (
            {"type": "alerting", "name": rule["alert"]}
            if "alert" in rule
            else {"type": "recording", "name": rule["record"]}
        )
        seconds = parse_duration(rule.get("for", "0s"))
        return {**kind, "query": rule["expr"], "labels": rule["labels"], "duration": seconds, "health": "ok"}

    async def rules(_request: web.Request) -> web.Response:
        told = [
            {
                "name": one["name"],
                "interval": parse_duration(one["interval"]),
                "rules": [loaded(r) for r in one["rules"]],
            }
            for one in groups
        ]
        return web.json_response({"status": "success", "data": {"groups": told}})

    async def query(request: web.Request) -> web.Response:
        asked = request.query["query"]
        data: dict[str, Any] = {"resultType": "vector", "result": [{"metric": {"job": "shop"}, "value": [1, "1"]}]}
        if asked == "time()":
            data = {"resultType": "scalar", "result": [1, "1"]}
        elif asked.endswith("s]"):
            data = {"resultType": "matrix", "result": []}
        return web.json_response({"status": "success", "data": data})

    return [web.get("/api/v1/rules", rules), web.get("/api/v1/query", query)]


async def said_of_rules(policy: Policy, groups: list[Mapping[str, Any]]) -> Finding:
    """What is found of the rules that are loaded."""

    async def inline() -> Mapping[str, str]:
        return generated_files(policy, inline=True)

    async with served(*ruler(groups)) as address, aiohttp.ClientSession() as http:
        prometheus = Prometheus(http, f"http://{address}")
        findings = await check_prometheus(policy, prometheus, generated_files(policy), inline)
    (found,) = [one for one in findings if "as the policy generates them" in one.what or "differ" in one.what]
    return found


@pytest.mark.parametrize("spoilt", ["", "expr", "labels"])
async def test_rules_are_known_again_as_thanos_tells_them(write_policy: Write, spoilt: str) -> None:
    """Written by its own parser, with the ruler's labels added, they are as generated; a change in one is found."""
    policy = write_policy("kpis: {conversion_rate: {kind: conversion, from: visits, to: orders}}\n")
    groups = cast("list[Mapping[str, Any]]", thanos_rules(policy)["groups"])
    rules = [rule for group in groups for rule in group["rules"]]
    for rule in rules:
        rule["expr"] = canonical(rule["expr"])
        rule["labels"] = {**rule["labels"], "replica": "a"}
    if spoilt == "expr":
        rules[-1]["expr"] += " > 2"
    elif spoilt == "labels":
        next(rule for rule in rules if "alert" in rule)["labels"]["severity"] = "none"

    found = await said_of_rules(policy, groups)

    assert ("1 rules differ from the policy" in found.what) is bool(spoilt)


@pytest.mark.parametrize("spoilt", [False, True])
async def test_rules_that_are_written_out_and_parted_are_those_of_the_policy(write_policy: Write, spoilt: bool) -> None:
    """The form that vmalert and Mimir load is found as generated; a changed expression is found in it as well."""
    policy = write_policy("kpis: {conversion_rate: {kind: conversion, from: visits, to: orders}}\n")
    groups = mimir_namespace(policy, inline=True)["groups"]
    assert max(len(group["rules"]) for group in groups) <= 20
    assert len(groups) > sum(len(file["groups"]) for file in rule_groups(policy).values())
    if spoilt:
        groups[0]["rules"][-1]["expr"] = "vector(1)"

    found = await said_of_rules(policy, groups)

    assert (found.status is Status.FAILED) is spoilt
    assert ("1 rules differ from the policy" in found.what) is spoilt
