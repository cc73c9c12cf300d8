"""Prometheus: reachable, scraping the exporter, the receiver and the shop, with the rules that the policy generates."""

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import yaml

from canary import names
from canary.errors import GenerateError, RemoteError
from canary.finding import Finding, failed, ok, warning
from canary.policy import Policy
from canary.policy.pinning.digest import digest
from canary.prometheus import Prometheus, ServiceAlerts, policies_in_use
from canary.prometheus import Rule as Loaded
from canary.prometheus.promql import canonical
from canary.units import parse_duration
from canaryctl.check.prometheus.cadence import check_evaluation, check_sources
from canaryctl.check.prometheus.shopseries import check_shop_series
from canaryctl.check.rules import Files

Rule = Mapping[str, Any]

# Every alert about a rollout is joined with this recorded series; without it none fires.
RUNNING = "rollout:canary_rollout_info:running"

_LOAD = "run `canary generate`, copy its prometheus/ folder to where rule_files looks, and reload Prometheus"


async def check_prometheus(
    policy: Policy, prometheus: Prometheus, files: Mapping[str, str], inline: Files | None = None
) -> list[Finding]:
    """Whether Prometheus sees and judges what it must.

    Args:
        files: what `canary generate` would write, path to text.
        inline: what it would write with `--inline`, which rulers may have loaded instead.
    """
    place = f"prometheus {prometheus.url}"
    try:
        findings = list(await asyncio.gather(*(_present(prometheus, place, *one) for one in _guard(policy.service))))
        for series, words in ((names.DATABASE_UP, "the exporter"), (names.ROLLOUT_STATE, "the receiver")):
            own = f'{series}{{{names.SERVICE}="{policy.service}"}}'
            findings += await check_sources(policy, prometheus, own, words)
        findings += await check_shop_series(policy, prometheus)
        loaded = await prometheus.rules()
        wrong, rules = _rules(policy, place, loaded, list(generated_rules(files)))
        if inline is not None and wrong:
            # Told by the form that it comes closer to: by the other one every alert would differ.
            still, written_out = _rules(policy, place, loaded, list(generated_rules(await inline())))
            rules = written_out if still < wrong else rules
        findings += [*rules, *_how_often(policy, prometheus, loaded)]
        findings += await _policies(policy, prometheus, place)
    except RemoteError as error:
        return [failed(place, error.what, error.remedy)]
    return [*findings, await _evaluated(policy, prometheus, place)]


async def _policies(policy: Policy, prometheus: Prometheus, place: str) -> list[Finding]:
    """Whether exporter, receiver and rules go by this file.

    While a rollout runs they go by the policy that it began with, and a file that was changed for the next rollout is
    no fault; that the three differ from one another is.
    """
    wanted, found = digest(policy), await policies_in_use(prometheus, policy.service)
    differing = list(found.differing(wanted))
    if not differing:
        return [ok(place, f"everything that publishes its policy goes by this one, {wanted}")]
    say = warning if len({*itertools.chain(*found.digests.values())}) == 1 else failed
    return [say(place, str(one), one.remedy) for one in differing]


async def check_watched(policy: Policy, prometheus: Prometheus) -> list[Finding]:
    """Whether a bad canary would be seen at all: our rules evaluated, exporter, receiver and shop scraped.

    Without that nothing fires, which looks the same as a healthy canary.
    """
    place = f"prometheus {prometheus.url}"
    try:
        findings = list(await asyncio.gather(*(_present(prometheus, place, *one) for one in _guard(policy.service))))
        findings.append(_acting(policy, place, await prometheus.rules()))
        findings += await check_shop_series(policy, prometheus, windows=False)
    except RemoteError as error:
        return [failed(place, error.what, error.remedy)]
    return [*findings, await _evaluated(policy, prometheus, place)]


def _acting(policy: Policy, place: str, loaded: Sequence[Loaded]) -> Finding:
    ours = [rule for rule in loaded if f'{names.SERVICE}="{policy.service}"' in rule.expression]
    recorded = any(rule.name == RUNNING for rule in ours)
    lowering = [rule for rule in ours if rule.labels.get(names.ACTION) == "rollback" and rule.name != names.DRILL]
    if not recorded or not lowering:
        what = "recording rules" if not recorded else "alert rules that roll back"
        return failed(place, f"the {what} of service {policy.service} are not loaded", _LOAD)
    broken = [rule.name for rule in ours if rule.error]
    if broken:
        return failed(place, f"{len(broken)} rules cannot be evaluated: {_some(broken)}", "see /rules there")
    return ok(place, f"the rules of service {policy.service} that roll back are loaded")


async def _evaluated(policy: Policy, prometheus: Prometheus, place: str) -> Finding:
    """Rules may be loaded by a server and yet not be evaluated there, or not yet."""
    try:
        await ServiceAlerts(prometheus, policy.service).firing()
    except RemoteError as error:
        return failed(place, error.what, error.remedy)
    return ok(place, f"evaluates the rules of service {policy.service}: {names.WATCHDOG} fires")


def _guard(service: str) -> Iterator[tuple[str, str, str]]:
    """What tells this service's exporter and receiver: a name, an expression, and what to do without it."""
    own = f'{{{names.SERVICE}="{service}"}}'
    yield "the exporter", f"{names.DATABASE_UP}{own}", "start `canary exporter` and add the generated scrape job"
    state = f"max by ({names.STATE}) ({names.ROLLOUT_STATE}{own})"
    yield "the receiver", state, "start `canary receiver`, scrape it"


async def _present(prometheus: Prometheus, place: str, what: str, expression: str, remedy: str) -> Finding:
    if await prometheus.query(expression):
        return ok(place, f"scrapes {what}")
    return failed(place, f"does not scrape {what}: `{expression}` has no series", remedy)


def generated_rules(files: Mapping[str, str]) -> Iterator[Rule]:
    """Every rule in the generated rule files, its group's name added."""
    for name, text in sorted(files.items()):
        if not name.startswith("prometheus/rules/") or not name.endswith((".yml", ".yaml", ".json")):
            continue
        data = yaml.safe_load(text)
        for group in data.get("groups", ()) if isinstance(data, dict) else ():
            for rule in group["rules"]:
                yield {**rule, "group": group["name"]}


def _how_often(policy: Policy, prometheus: Prometheus, loaded: Sequence[Loaded]) -> list[Finding]:
    deciding = {RUNNING, names.CONVERSION_DEGRADED, names.PAYMENT_SUCCESS_DEGRADED, names.KPI_ALERT}
    own = [rule for rule in loaded if rule.name in deciding and rule.labels.get(names.SERVICE) == policy.service]
    return check_evaluation(policy, prometheus, own) if own else []


def _rules(policy: Policy, place: str, loaded: Sequence[Loaded], wanted: Sequence[Rule]) -> tuple[int, list[Finding]]:
    """How many rules are not loaded as they are wanted, and what to say of them."""
    own = [one for one in loaded if one.labels.get(names.SERVICE) == policy.service]
    # By name, and not by group: rulers part groups, and earlier versions named them otherwise.
    by_name: dict[str, list[Loaded]] = {}
    for one in own:
        by_name.setdefault(one.name, []).append(one)
    missing = [_name(rule) for rule in wanted if _name(rule) not in by_name]
    there = [rule for rule in wanted if _name(rule) in by_name]
    changed = [_name(rule) for rule in there if not any(_same(rule, one) for one in by_name[_name(rule)])]
    findings = []
    if missing:
        findings.append(failed(place, f"{len(missing)} rules are not loaded: {_some(missing)}", _LOAD))
    if changed:
        findings.append(failed(place, f"{len(changed)} rules differ from the policy: {_some(changed)}", _LOAD))
    broken = [one.name for one in own if one.error]
    if broken:
        findings.append(failed(place, f"{len(broken)} rules cannot be evaluated: {_some(broken)}", "see /rules there"))
    wrong = len(missing) + len(changed)
    return wrong, findings or [ok(place, f"all {len(wanted)} rules are loaded as the policy generates them")]


def _name(rule: Rule) -> str:
    return str(rule.get("alert") or rule["record"])


def _same(rule: Rule, loaded: Loaded) -> bool:
    """Whether a loaded rule of that name is this one."""
    if not (rule.get("labels") or {}).items() <= loaded.labels.items():  # Thanos adds the ruler's own
        return False
    if "alert" in rule and loaded.duration_seconds != parse_duration(str(rule.get("for", "0s"))):
        return False
    with suppress(GenerateError):  # a rule that is none of ours may be in a language of its server's own
        return canonical(str(rule["expr"])) == canonical(loaded.expression)
    return False


def _some(rules: list[str]) -> str:
    unique = list(dict.fromkeys(rules))
    return ", ".join(unique[:5]) + (f" and {len(unique) - 5} more" if len(unique) > 5 else "")
