"""The page's HTTP side: who may act, and what forged and late forms meet."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support.receiving.receiver import (
    OPERATOR_TOKEN,
    Setting,
    in_state,
    order,
    receiving,
    status,
    until,
)


@asynccontextmanager
async def browsing(setting: Setting) -> AsyncIterator[aiohttp.ClientSession]:
    """A receiver with a rollout, and a client that keeps cookies, also of an address."""
    async with receiving(setting), aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await until(setting, "5 % on the canary", lambda now: now["settled"])
        yield http


async def get(http: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, str]:
    """Status and text of a page, redirects followed."""
    async with http.get(url, headers=headers) as answer:
        return answer.status, await answer.text()


async def send(http: aiohttp.ClientSession, url: str, form: Mapping[str, str], **headers: str) -> tuple[int, str]:
    """Status and text after sending a form, redirects not followed."""
    async with http.post(url, data=dict(form), headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.text()


async def sign_in(http: aiohttp.ClientSession, setting: Setting, token: str = OPERATOR_TOKEN) -> int:
    """Sign in as Ada."""
    return (await send(http, f"{setting.url}/page/sign-in", {"name": "Ada", "token": token, "after": "/page/hold"}))[0]


def fields(page: str) -> dict[str, str]:
    """The hidden fields of a form."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))


async def test_reading_needs_no_token_and_loads_nothing_from_outside(setting: Setting) -> None:
    """The page is complete as it is sent, under a policy that allows nothing foreign."""
    async with browsing(setting) as http:
        code, page = await get(http, setting.url)
        async with http.get(setting.url) as answer:
            policy = answer.headers["Content-Security-Policy"]
            framing = answer.headers["X-Frame-Options"]

    assert code == 200
    assert "In progress" in page
    assert not re.findall(r'(?:src|href|action)="(?!\./|page/|api/|metrics"|#)', page)
    assert "style=" not in page
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self';")
    assert "unsafe" not in policy
    assert framing == "DENY"


async def test_a_command_asks_for_the_token_then_for_a_reason(setting: Setting) -> None:
    """Without a session the way leads to the sign-in; with one, to a form that says what will happen."""
    async with browsing(setting) as http:
        _, first = await get(http, f"{setting.url}/page/hold")
        signed = await sign_in(http, setting)
        _, second = await get(http, f"{setting.url}/page/hold")
        code, _ = await send(http, f"{setting.url}/page/hold", {**fields(second), "reason": "lunch"})
        await until(setting, "held", in_state("holding"))
        rollout = (await status(setting))["rollout"]

    assert "The operator&#x27;s token" in first
    assert signed == 303
    assert "Traffic stays at 5% until somebody resumes." in second
    assert code == 303
    assert (rollout["actor"], rollout["reason"]) == ("Ada (page)", "lunch")


@pytest.mark.parametrize(
    ("change", "headers", "code"),
    [
        ({"form_key": "guessed"}, {}, 403),
        ({"form_key": ""}, {}, 403),
        ({}, {"Origin": "http://evil.example"}, 403),
        ({}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({"seen": "another-rollout/3"}, {}, 409),
    ],
)
async def test_a_forged_or_late_form_changes_nothing(
    setting: Setting, change: dict[str, str], headers: dict[str, str], code: int
) -> None:
    """Forms without the session's own key, from another site, or about another state are refused."""
    async with browsing(setting) as http:
        await sign_in(http, setting)
        _, page = await get(http, f"{setting.url}/page/hold")
        refused, _ = await send(http, f"{setting.url}/page/hold", {**fields(page), "reason": "x", **change}, **headers)
        state = (await status(setting))["rollout"]["state"]

    assert refused == code
    assert state == "phase"


async def test_wrong_tokens_are_refused_and_then_not_looked_at(setting: Setting) -> None:
    """After ten wrong tokens within a minute even the right one must wait."""
    async with browsing(setting) as http:
        codes = [await sign_in(http, setting, f"wrong-{number}") for number in range(11)]
        late = await sign_in(http, setting)

    assert codes == [401] * 10 + [429]
    assert late == 429


async def test_signing_in_leads_nowhere_else(setting: Setting) -> None:
    """The way after signing in is one of our pages, whatever the form says."""
    async with browsing(setting) as http:
        form = {"name": "Ada", "token": OPERATOR_TOKEN, "after": "https://evil.example/"}
        async with http.post(f"{setting.url}/page/sign-in", data=form, allow_redirects=False) as answer:
            location, cookie = answer.headers["Location"], answer.headers["Set-Cookie"]

    assert location == "../"
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


async def test_a_rollback_needs_a_reason(setting: Setting) -> None:
    """An empty reason brings the form back, and nothing is rolled back."""
    async with browsing(setting) as http:
        await sign_in(http, setting)
        _, page = await get(http, f"{setting.url}/page/rollback")
        code, again = await send(http, f"{setting.url}/page/rollback", {**fields(page), "reason": " "})
        state = (await status(setting))["rollout"]["state"]

    assert code == 400
    assert "A reason is needed." in again
    assert state == "phase"


async def test_a_command_that_is_refused_says_why(setting: Setting) -> None:
    """Advancing needs Prometheus, which is down here; the form says so and offers to insist."""
    async with browsing(setting) as http:
        await sign_in(http, setting)
        _, page = await get(http, f"{setting.url}/page/advance")
        code, again = await send(http, f"{setting.url}/page/advance", fields(page))
        insisted, _ = await send(http, f"{setting.url}/page/advance", {**fields(again), "force": "yes", "reason": "x"})
        share = (await status(setting))["rollout"]["weight_ratio"]

    assert code == 409
    assert "unreachable" in again
    assert insisted == 303
    assert share == 0.5


async def test_an_open_receiver_listens_to_this_machine_only(tmp_path: Path) -> None:
    """Without an operator's token, a stranger's name that leads to this machine gets no form."""
    setting = Setting(tmp_path / "open", changes={"receiver": {"operator_token_file": None}})
    async with browsing(setting) as http:
        here, page = await get(http, f"{setting.url}/page/hold")
        signed, _ = await send(
            http,
            f"{setting.url}/page/sign-in",
            {"name": "Eve", "token": "x"},
            Host="rebound.example",
            Origin="http://rebound.example",
        )
        ordered, _ = await send(
            http, f"{setting.url}/page/hold", {**fields(page), "reason": "x"}, Host="rebound.example"
        )
        headers = {"Host": "rebound.example", "Origin": "http://rebound.example"}
        async with http.post(f"{setting.url}/api/v1/hold", json={"reason": "x"}, headers=headers) as answer:
            asked = answer.status
        strange, _ = await get(aiohttp_fresh(http), f"{setting.url}/page/hold", Host="rebound.example")

    assert (signed, ordered, asked) == (403, 403, 403)
    assert here == 200
    assert "form_key" in fields(page)
    assert strange == 403


def aiohttp_fresh(http: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """The same client without its cookies."""
    http.cookie_jar.clear()
    return http


async def test_signing_out_ends_the_session(setting: Setting) -> None:
    """Afterwards a command asks for the token again."""
    async with browsing(setting) as http:
        await sign_in(http, setting)
        _, page = await get(http, setting.url)
        await send(http, f"{setting.url}/page/sign-out", fields(page))
        _, asked = await get(http, f"{setting.url}/page/hold")

    assert "Signed in as Ada" in page
    assert "The operator&#x27;s token" in asked


async def test_a_late_form_does_not_skip_a_phase(setting: Setting) -> None:
    """Two people look, both advance: the second is told what has happened, and gets a form about what is there now."""
    async with browsing(setting) as http:
        await sign_in(http, setting)
        _, page = await get(http, f"{setting.url}/page/advance")
        form = {**fields(page), "force": "yes"}
        first, _ = await send(http, f"{setting.url}/page/advance", form)
        second, again = await send(http, f"{setting.url}/page/advance", form)
        now = await status(setting)

    assert (first, second) == (303, 409)
    assert "has changed since you looked; it is in phase 2 (50%) by Ada (page)" in again
    assert fields(again)["seen"] == now["seen"]
    assert now["rollout"]["phase"] == 1


async def test_a_late_form_still_holds_and_rolls_back(setting: Setting) -> None:
    """Whoever lowers or holds is obeyed, whatever else has happened to this rollout since they looked."""
    async with browsing(setting) as http:
        await sign_in(http, setting)
        _, hold = await get(http, f"{setting.url}/page/hold")
        _, rollback = await get(http, f"{setting.url}/page/rollback")
        await order(setting, "advance", force=True)
        held, _ = await send(http, f"{setting.url}/page/hold", fields(hold))
        fell, _ = await send(http, f"{setting.url}/page/rollback", {**fields(rollback), "reason": "x"})

    assert (held, fell) == (303, 303)


async def test_the_page_offers_what_the_state_accepts(setting: Setting) -> None:
    """Buttons are those of the status, and the form of another command says that it does not fit."""
    async with browsing(setting) as http:
        await sign_in(http, setting)
        await order(setting, "hold")
        accepts = (await status(setting))["accepts"]
        _, page = await get(http, setting.url)
        code, refused = await get(http, f"{setting.url}/page/advance")
        await order(setting, "rollback", reason="x")
        await until(setting, "rolled back", in_state("rolled_back"))
        _, after = await get(http, setting.url)

    offered = re.findall(r'href="page/(\w+)" class="button (?!plain)', page)
    assert offered == accepts == ["resume", "promote", "rollback"]
    assert code == 409
    assert "Advance does not fit" in refused
    assert "No actions available in this state. The next release begins with <code>canary start</code>." in after


async def test_an_address_that_leads_nowhere_leads_back(setting: Setting) -> None:
    """Typed, or kept for too long: a page that says so, with the way to the one there is, however deep it was."""
    async with browsing(setting) as http:
        found = [await get(http, f"{setting.url}/page/{rest}") for rest in ("no-such", "no/such")]

    assert [code for code, _ in found] == [404, 404]
    for (_, page), root in zip(found, ("../", "../../"), strict=True):
        assert "There is no such page." in page
        assert f'<base href="{root}">' in page
        assert '<a href="./">Back</a>' in page


async def test_a_release_is_finished_and_taken_back_from_the_page(setting: Setting) -> None:
    """What nobody can ask needs the tick; while it is under way the form offers the way back."""
    async with browsing(setting) as http:
        await sign_in(http, setting)
        await order(setting, "promote", force=True)
        finish = f"{setting.url}/page/finish"
        _, page = await get(http, finish)
        refused, why = await send(http, finish, fields(page))
        begun, _ = await send(http, finish, {**fields(page), "force": "yes"})
        _, home = await get(http, setting.url)
        _, under_way = await get(http, finish)
        back, _ = await send(http, finish, {**fields(under_way), "how": "back"})
        now = await status(setting)

    assert (refused, begun, back) == (409, 303, 303)
    assert "nobody knows whether the stable servers run v2.0" in why
    assert "Being finished" in home
    assert "What was found at the start" in home
    assert re.findall(r'<option value="(\w*)"', under_way) == ["back", "now"]
    assert now["rollout"]["state"] == "promoted"


async def test_a_form_that_is_sent_after_the_session_has_done_nothing_and_says_so(setting: Setting) -> None:
    """Whoever rolls back must not believe that it is done; the way goes on to the same form."""
    async with browsing(setting) as http:
        await sign_in(http, setting)
        _, page = await get(http, f"{setting.url}/page/rollback")
        http.cookie_jar.clear()
        form = {**fields(page), "reason": "harm"}
        async with http.post(f"{setting.url}/page/rollback", data=form) as answer:
            asked = await answer.text()
        _, anew = await get(http, f"{setting.url}/page/rollback")
        state = (await status(setting))["rollout"]["state"]

    assert "Your session is over: nothing has been done yet." in asked
    assert fields(asked)["after"] == "/page/rollback"
    assert "session is over" not in anew
    assert state == "phase"


async def test_a_token_that_is_taken_away_ends_its_sessions(setting: Setting) -> None:
    """After the operator's token was replaced and read again, whoever signed in with the old one signs in anew."""
    async with receiving(setting) as receiver, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        await sign_in(http, setting)
        _, before = await get(http, setting.url)
        (setting.folder / "operator-token").write_text("another-token")
        await receiver.reload(setting.policy_file)
        _, after = await get(http, setting.url)

    assert "Signed in as Ada" in before
    assert "Signed in as Ada" not in after


async def test_notes_drills_and_checks_are_asked_for_at_the_page(setting: Setting) -> None:
    """Each has a form that says what it does; a note needs a text, and one check runs at a time."""
    async with browsing(setting) as http:
        await sign_in(http, setting)
        _, form = await get(http, f"{setting.url}/page/note")
        empty, why = await send(http, f"{setting.url}/page/note", {**fields(form), "reason": " "})
        noted, _ = await send(http, f"{setting.url}/page/note", {**fields(form), "reason": "slow on phones"})
        drilled, _ = await send(http, f"{setting.url}/page/drill", fields(form))
        again, on_its_way = await send(http, f"{setting.url}/page/drill", fields(form))
        checking, _ = await send(http, f"{setting.url}/page/check", fields(form))
        both, running = await send(http, f"{setting.url}/page/plan", fields(form))
        _, home = await get(http, setting.url)

    assert "decides nothing" in form
    assert (empty, noted, drilled, again, checking, both) == (400, 303, 303, 409, 303, 409)
    assert "A text is needed." in why
    assert "is on its way" in on_its_way
    assert "canary check is running" in running
    assert "Ada (page): slow on phones" in home


async def test_a_report_is_shown_of_rollouts_that_there_are(setting: Setting) -> None:
    """The file of a known rollout, without scripts; of another name nothing, whatever lies in the folder."""
    async with browsing(setting) as http:
        rollout = (await status(setting))["rollout"]["id"]
        reports = setting.folder / "reports"
        reports.mkdir()
        (reports / f"{rollout}.html").write_text("<h1>It went well</h1>")
        (reports / "other.html").write_text("not for you")
        found, text = await get(http, f"{setting.url}/page/reports/{rollout}")
        other, _ = await get(http, f"{setting.url}/page/reports/other")
        outside, _ = await get(http, f"{setting.url}/page/reports/..%2Foperator-token")
        async with http.get(f"{setting.url}/page/reports/{rollout}") as answer:
            policy = answer.headers["Content-Security-Policy"]
        (reports / f"{rollout}.html").write_bytes(b"\xff damaged")
        damaged, _ = await get(http, f"{setting.url}/page/reports/{rollout}")

    assert damaged == 404
    assert (found, text) == (200, "<h1>It went well</h1>")
    assert (other, outside) == (404, 404)
    assert "default-src 'none'" in policy
    assert "script" not in policy
