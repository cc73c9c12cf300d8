"""Prometheus, Alertmanager, receiver and clocks as `canary check` sees them, on real servers."""

import asyncio
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import aiohttp
import bcrypt
from aiohttp import web

from alertmanager.receiver.http.access import ReceiverAccess
from alertmanager.receiver.http.authority import Authority
from alertmanager.receiver.http.page.sessions import Sessions
from canary import names
from canary.policy import Policy
from canary.prometheus import Alertmanager as Router
from canary.prometheus import Prometheus as Questions
from canary.timing.clock import SystemClock
from canary.web.options import WebOptions
from canary.web.routes.table import Role
from canary.web.service import Service
from canaryctl.check import Finding, Status
from canaryctl.check.alertmanager import check_alertmanager, check_silences
from canaryctl.check.clock import check_clock
from canaryctl.check.prometheus.prometheus import check_prometheus, check_watched
from canaryctl.check.prometheus.shopseries import check_shop_series
from canaryctl.check.receiver import check_receiver
from canaryctl.generated import generated_files
from exporter.source.watch.clock import Difference
from tests.support.programs.alertmanager import Alertmanager
from tests.support.programs.ports import free_port
from tests.support.programs.processes import eventually
from tests.support.programs.prometheus import Prometheus
from tests.support.web.webserver import served

Write = Callable[[str], Policy]

SHOP = """\
canary_exporter_database_up{service="shop"} 1
canary_rollout_state{service="shop",state="idle"} 1
http_requests_total{version="v1.0",status="200"} 7
http_request_duration_seconds_bucket{version="v1.0",le="+Inf"} 7
"""


def serving(*answers: tuple[str, str]) -> AbstractAsyncContextManager[str]:
    """A web server with these paths and texts; its `host:port`."""
    return served(*(web.get(path, partial(_answer, text)) for path, text in answers))


async def _answer(text: str, _request: web.Request) -> web.Response:
    return web.Response(text=text)


def failures(findings: list[Finding]) -> list[str]:
    """What failed, with its remedy."""
    return [f"{finding.what}; {finding.remedy}" for finding in findings if finding.status is Status.FAILED]


def configuration(folder: Path, files: Mapping[str, str], target: str, jobs: Sequence[str] = ("shop",)) -> str:
    """A Prometheus configuration that loads the rules among *files* and scrapes *target* every second, for each job."""
    (folder / "rules").mkdir(exist_ok=True)
    for name, text in files.items():
        if name.startswith("prometheus/rules/"):
            (folder / "rules" / Path(name).name).write_text(text, encoding="utf-8")
    return (
        f"global: {{scrape_interval: 1s, evaluation_interval: 1h}}\nrule_files: ['{folder}/rules/*.yml']\n"
        "scrape_configs:\n"
        + "".join(
            f"  - {{job_name: {job}, honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}\n"
            for job in jobs
        )
    )


async def test_a_prometheus_with_our_rules_and_targets_passes(write_policy: Write, tmp_path: Path) -> None:
    """Rules loaded as generated, exporter, receiver and shop scraped: nothing failed."""
    policy = write_policy("signals: {}\n")
    files = generated_files(policy)
    async with serving(("/metrics", SHOP)) as target, aiohttp.ClientSession() as http:
        with Prometheus(configuration(tmp_path, files, target)) as prometheus:
            await eventually(
                lambda: bool(prometheus.query("increase(http_requests_total[1m])")), "two scrapes of the shop"
            )
            await eventually(lambda: bool(prometheus.query(f'ALERTS{{alertname="{names.WATCHDOG}"}}')), "the heartbeat")

            findings = await check_prometheus(policy, Questions(http, prometheus.url), files)

    assert failures(findings) == []
    assert any("rules are loaded as the policy generates them" in finding.what for finding in findings)
    assert any("evaluates the rules of service" in finding.what for finding in findings)


async def test_missing_and_changed_rules_are_named(write_policy: Write, tmp_path: Path) -> None:
    """A policy that has changed since the rules were loaded, and rules that were never loaded, are told apart."""
    loaded = write_policy("signals: {warning: {hold_for: 3m}}\n")
    changed = write_policy("signals: {warning: {hold_for: 10m}}\n")
    files = dict(generated_files(loaded))
    files.pop("prometheus/rules/canary-recording-shop.rules.yml")
    async with aiohttp.ClientSession() as http:
        with Prometheus(configuration(tmp_path, files, "127.0.0.1:1")) as prometheus:
            findings = await check_prometheus(changed, Questions(http, prometheus.url), generated_files(changed))

    found = "\n".join(failures(findings))
    assert "rules are not loaded" in found
    assert re.search(r"rules differ from the policy: .*\bCanaryElevatedErrorRate\b", found)
    assert "does not scrape the exporter" in found
    assert "does not scrape the shop's requests" in found
    assert "run `canary generate`" in found


async def test_without_a_signals_section_nothing_is_missed_and_that_is_said(write_policy: Write) -> None:
    """The KPIs decide; it is a warning, also of what `canary start` looks at, with what to write."""
    policy = write_policy("")
    async with aiohttp.ClientSession() as http:
        with Prometheus() as prometheus:
            questions = Questions(http, prometheus.url)
            for findings in (await check_prometheus(policy, questions, {}), await check_watched(policy, questions)):
                (found,) = (finding for finding in findings if finding.status is Status.WARNING)
                assert "the policy has no `signals` section" in found.what
                assert all("the shop's requests" not in finding.what for finding in findings)


async def test_a_server_that_evaluates_nothing_is_told_from_one_that_is_down(write_policy: Write) -> None:
    """A Prometheus that answers "no alerts" because it has no rules fails, with what to do about it."""
    policy = write_policy("")
    async with aiohttp.ClientSession() as http:
        with Prometheus() as prometheus:
            findings = await check_prometheus(policy, Questions(http, prometheus.url), {})

    (found,) = (finding for finding in findings if names.WATCHDOG in finding.what)
    assert found.status is Status.FAILED
    assert f"answers, but does not evaluate the rules of service {policy.service}" in found.what
    assert "receiver.prometheus" in found.remedy


async def test_a_shop_behind_haproxy_needs_its_exporter(write_policy: Write, tmp_path: Path) -> None:
    """With `preset: haproxy` the canary's backend is looked for, and the shop's own requests are not."""
    policy = write_policy("signals: {preset: haproxy, canary_backend: new}\n")
    exporter = 'haproxy_backend_http_responses_total{proxy="new",code="2xx"} 7\n'
    async with serving(("/metrics", exporter)) as target, aiohttp.ClientSession() as http:
        with Prometheus(configuration(tmp_path, {}, target)) as prometheus:
            responses = "increase(haproxy_backend_http_responses_total[1m])"
            await eventually(lambda: bool(prometheus.query(responses)), "two scrapes of HAProxy")
            findings = await check_prometheus(policy, Questions(http, prometheus.url), {})

    assert "scrapes HAProxy's backend new" in [finding.what for finding in findings]
    assert all("shop's requests" not in finding.what for finding in findings)


async def test_signals_of_several_jobs_are_refused_until_the_policy_says_whose_they_are(
    write_policy: Write, tmp_path: Path
) -> None:
    """Another application counts under the same name: it is named, until a selector chooses; what is missing fails."""
    async with serving(("/metrics", SHOP)) as target, aiohttp.ClientSession() as http:
        with Prometheus(configuration(tmp_path, {}, target, ("shop", "books"))) as prometheus:
            await eventually(
                lambda: len(prometheus.query("count by (job) (increase(http_requests_total[1m]))")) == 2, "two jobs"
            )

            async def found(section: str) -> str:
                policy = write_policy(f"signals: {section}\n")
                return "\n".join(failures(await check_shop_series(policy, Questions(http, prometheus.url))))

            mixed = await found("{}")
            assert "the shop's requests would be judged by series of 2 jobs: books, shop; let signals.selector" in mixed
            assert "the shop's response times would be judged by series of 2 jobs" in mixed
            assert await found("""{selector: 'job="shop"'}""") == ""
            assert await found("""{selector: 'job=~"shop|books"'}""") == ""
            assert await found(f"{{shop_targets: ['{target}']}}") == ""
            assert "has no series" in await found("""{selector: 'job="gone"'}""")


async def test_query_times_that_the_policy_names_and_nobody_measures_are_told(
    write_policy: Write, tmp_path: Path
) -> None:
    """A histogram of a mistyped name would inform nobody; without the key nothing is said about queries."""
    async with serving(("/metrics", SHOP)) as target, aiohttp.ClientSession() as http:
        with Prometheus(configuration(tmp_path, {}, target)) as prometheus:

            async def told(section: str) -> list[str]:
                policy = write_policy(f"signals: {section}\n")
                found = await check_shop_series(policy, Questions(http, prometheus.url))
                return [f"{one.what}: {one.remedy}" for one in found if "queries" in one.what]

            (missing,) = await told("{query_duration: db_query_seconds}")
            assert "db_query_seconds_bucket" in missing
            assert "leave signals.query_duration out" in missing
            assert await told("{}") == []


async def test_a_prometheus_that_is_down_is_one_failure(write_policy: Write) -> None:
    """Its remedy names the policy's key."""
    policy = write_policy("")
    async with aiohttp.ClientSession() as http:
        findings = await check_prometheus(policy, Questions(http, f"http://127.0.0.1:{free_port()}"), {})

    assert len(findings) == 1
    assert "cannot connect" in findings[0].what
    assert "receiver.prometheus" in findings[0].remedy


async def test_the_generated_routes_reach_the_receiver(write_policy: Write) -> None:
    """Every action and the heartbeat go to this receiver; another shop's Alertmanager does not send them."""
    port = free_port()
    policy = write_policy(f"receiver: {{alertmanager: 'http://127.0.0.1:{port}'}}\n")
    other = "route: {receiver: people}\nreceivers: [{name: people}]\n"
    async with aiohttp.ClientSession() as http:
        with Alertmanager(generated_files(policy)["alertmanager/alertmanager.yml"], port):
            ours = await check_alertmanager(policy, Router(http, policy.receiver.alertmanager_server.url))
        with Alertmanager(other, port):
            theirs = await check_alertmanager(policy, Router(http, policy.receiver.alertmanager_server.url))
        gone = await check_alertmanager(policy, Router(http, policy.receiver.alertmanager_server.url))

    assert [finding.status for finding in ours] == [Status.OK] * 5
    assert 'sends alerts with action="rollback" to http://127.0.0.1:9878' in ours[0].what
    assert 'sends alerts with action="rollback" to people, none of which is' in failures(theirs)[0]
    assert len(failures(theirs)) == 4
    assert "receiver.alertmanager" in gone[0].remedy


async def test_a_canary_that_nobody_watches_is_noticed(write_policy: Write, tmp_path: Path) -> None:
    """Without rules, with another service's exporter and receiver, nothing would be seen; with ours, all is."""
    policy = write_policy("signals: {}\n")
    other = SHOP.replace('service="shop"', 'service="other"')

    async def watched(files: Mapping[str, str], text: str, awaited: str) -> list[Finding]:
        async with serving(("/metrics", text)) as target, aiohttp.ClientSession() as http:
            with Prometheus(configuration(tmp_path, files, target)) as prometheus:
                await eventually(lambda: bool(prometheus.query(awaited)), "Prometheus has looked")
                return await check_watched(policy, Questions(http, prometheus.url))

    scraped = "canary_exporter_database_up"
    nothing = failures(await watched({}, other, scraped))
    heartbeat = f'ALERTS{{alertname="{names.WATCHDOG}"}} and on () {scraped}'
    # Whether somebody watches does not depend on how often; the group's own interval would be waited for.
    often = {name: text.replace("interval: 5s", "interval: 1s") for name, text in generated_files(policy).items()}
    everything = await watched(often, SHOP, heartbeat)

    for said, found in zip(
        ("scrape the exporter", "scrape the receiver", "service shop are not loaded", "not evaluate the rules"),
        nothing,
        strict=True,
    ):
        assert said in found
    assert failures(everything) == []


async def test_a_silence_that_keeps_rollbacks_away_is_noticed(write_policy: Write) -> None:
    """With whose it is; one on all rollbacks fails, on holds or another rollout warns, for people or others is fine."""
    port = free_port()
    policy = write_policy(f"receiver: {{alertmanager: 'http://127.0.0.1:{port}'}}\n")
    with Alertmanager(generated_files(policy)["alertmanager/alertmanager.yml"], port):

        async def found(*matchers: str) -> Finding:
            address = f"--alertmanager.url=http://127.0.0.1:{port}"
            silence_id = await amtool(address, "silence", "add", "--author=ann", "--comment=known", *matchers)
            async with aiohttp.ClientSession() as http:
                (finding,) = await check_silences(policy, Router(http, policy.receiver.alertmanager_server.url))
            await amtool(address, "silence", "expire", silence_id)
            return finding

        rollback = await found("action=rollback", "service=~sh.*")
        assert rollback.failed
        assert "no alert rolls a canary back: silence {" in rollback.what
        assert "by ann until" in rollback.what
        assert (await found("action=rollback", "kpi=conversion_rate")).failed
        assert (await found("action=hold")).status is Status.WARNING
        assert (await found("action=rollback", "rollout=earlier")).status is Status.WARNING
        assert (await found("action=advance", "service=shop")).status is Status.WARNING
        assert (await found("action=rollback", "service=other")).status is Status.OK
        assert (await found("severity=critical")).status is Status.OK


async def amtool(*arguments: str) -> str:
    """What it prints."""
    done = await asyncio.to_thread(subprocess.run, ["amtool", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


async def test_the_receiver_must_be_ready(write_policy: Write) -> None:
    """Running and ready passes; anything else has a remedy."""
    async with serving(("/-/ready", "ready")) as address:
        ready = await check_receiver(write_policy(f"receiver: {{url: 'http://{address}'}}\n"))
        gone = await check_receiver(write_policy(f"receiver: {{url: 'http://127.0.0.1:{free_port()}'}}\n"))

    assert ready[0].status is Status.OK
    assert (gone[0].status, gone[0].remedy) == (Status.FAILED, "start `canary receiver`")


async def test_a_receiver_that_wants_a_password_of_readers_is_asked_with_the_operators_token(
    tmp_path: Path, write_policy: Write
) -> None:
    """It passes with the right one; without it, or with another's, it is said what is missing."""
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    (tmp_path / "web.config").write_text(f"basic_auth_users: {{ada: '{hashed}'}}\n", encoding="utf-8")
    for name in ("operator", "another"):
        (tmp_path / name).write_text(f"{name}-token-0123456789\n", encoding="utf-8")
    authority = Authority({Role.OPERATOR: ("operator-token-0123456789",)})
    receiver = Service(
        name="receiver",
        options=WebOptions(config_file=tmp_path / "web.config"),
        access=ReceiverAccess(lambda: authority, Sessions(SystemClock(), bool)),
    )
    tokens = [f", operator_token_file: {tmp_path / name}" for name in ("operator", "another", "none")]
    async with receiver.serving() as (url,):
        policies = [write_policy(f"receiver: {{url: '{url}'{token}}}\n") for token in (*tokens, "")]
        found = [(await check_receiver(policy))[0] for policy in policies]

    assert [one.status for one in found] == [Status.OK, *[Status.FAILED] * 3]
    assert {one.remedy for one in found[1:]} == {"set receiver.operator_token_file as the receiver has it"}


class WrongClock(SystemClock):
    """A machine whose clock is ten minutes behind."""

    def now(self) -> datetime:
        """Ten minutes ago."""
        return datetime.now(UTC) - timedelta(minutes=10)


async def test_a_clock_that_goes_wrong_is_noticed(write_policy: Write) -> None:
    """Prometheus' own clock is compared with this machine's."""
    policy = write_policy("")
    async with aiohttp.ClientSession() as http:
        with Prometheus() as prometheus:
            right = await check_clock(policy, Questions(http, prometheus.url), SystemClock())
            wrong = await check_clock(policy, Questions(http, prometheus.url), WrongClock())

    assert [finding.status for finding in right] == [Status.OK]
    assert wrong[0].status is Status.FAILED
    assert "ahead of this machine" in wrong[0].what


def test_a_slow_answer_proves_no_difference() -> None:
    """What may be the way's time is not taken for the clock's."""
    before = datetime(2026, 3, 3, 12, tzinfo=UTC)

    difference = Difference.of(before.timestamp() + 8, before, before + timedelta(seconds=10))

    assert (difference.seconds, difference.uncertain_seconds) == (3, 5)
