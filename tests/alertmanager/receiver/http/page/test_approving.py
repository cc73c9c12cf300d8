"""Several people open a gate on the page, each known by a password of the web configuration."""

import base64
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest

from tests.alertmanager.receiver.http.page.test_handlers import fields, send
from tests.support.receiving.receiver import OPERATOR_TOKEN, Setting, order, receiving, status

PHASES = [{"traffic": "5%", "duration": "1h", "gate": {"approvers": 2}}, {"traffic": "100%", "duration": "1h"}]
HASH = bcrypt.hashpw(b"sesame", bcrypt.gensalt(4)).decode()


def users(folder: Path, *names: str) -> Path:
    """A web configuration with these users, who all have the same password."""
    file = folder / "web.yml"
    file.write_text("basic_auth_users:\n" + "".join(f"  {name}: {HASH}\n" for name in names))
    return file


async def advances(setting: Setting, user: str, called: str) -> tuple[int, str]:
    """A user signs in under any name, with the token that all share, and advances on the page."""
    shown = base64.b64encode(f"{user}:sesame".encode()).decode()
    jar, headers = aiohttp.CookieJar(unsafe=True), {"Authorization": f"Basic {shown}"}
    async with aiohttp.ClientSession(cookie_jar=jar, headers=headers) as http:
        signing = {"name": called, "token": OPERATOR_TOKEN, "after": "/page/advance"}
        assert (await send(http, f"{setting.url}/page/sign-in", signing))[0] == 303
        async with http.get(f"{setting.url}/page/advance") as answer:
            form = await answer.text()
        return await send(http, f"{setting.url}/page/advance", {**fields(form), "reason": "seen", "force": "yes"})


async def approvals(setting: Setting) -> Any:
    """Who has agreed."""
    return (await status(setting))["rollout"]["approvals"][0]["given"]


async def test_two_users_open_a_gate_and_one_under_two_names_does_not(tmp_path: Path) -> None:
    """The password says who it is; the name that somebody signs in under is only what they say of themselves."""
    setting = Setting(tmp_path, changes={"phases": PHASES})
    async with receiving(setting, web_config=users(tmp_path, "ann", "bob")):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        assert (await advances(setting, "ann", "ann"))[0] == 303
        assert await approvals(setting) == ["ann"]
        code, again = await advances(setting, "ann", "bob")
        assert (code, "ann has agreed already" in again) == (409, True)
        assert await approvals(setting) == ["ann"]
        assert (await advances(setting, "bob", "nobody"))[0] == 303
        assert (await status(setting))["rollout"]["state"] == "baking"

    actors = [entry.actor for entry in await setting.journal()]
    assert [actor for actor in actors if actor.endswith("(page)")] == ["ann (page)", "bob (page)"]


async def test_whoever_signs_in_by_a_shared_token_only_counts_nothing(tmp_path: Path) -> None:
    """Without a password of one's own, a name on the page is self-declared."""
    setting = Setting(tmp_path, changes={"phases": PHASES})
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        code, page = await advances(setting, "ann", "ann")
    assert code == 409
    assert "not proven" in page


@pytest.mark.parametrize("user", ["ann", "carol"])
async def test_where_operators_are_named_a_password_makes_nobody_a_second_person(tmp_path: Path, user: str) -> None:
    """Ann has a token of her own and may know passwords too: then only operators' tokens count."""
    operators = {name: {"token_file": f"{name}-token"} for name in ("ann", "bob")}
    for name in operators:
        (tmp_path / f"{name}-token").write_text(f"the-token-of-{name}\n")
    setting = Setting(tmp_path, changes={"phases": PHASES, "receiver": {"operators": operators}})
    async with receiving(setting, web_config=users(tmp_path, "carol")):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        code, _ = await advances(setting, "carol", user)
        assert code == 409
        assert await approvals(setting) == []
