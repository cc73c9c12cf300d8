"""Several policies under one supervisor: what befalls one touches no other."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import bcrypt
import pytest
from prometheus_client import CollectorRegistry, Gauge

from canary.errors import PolicyError, RestartNeededError
from canary.fleet.files import policy_files
from canary.fleet.fleet import Fleet
from canary.fleet.front import front, listed, member_options
from canary.policy import load_policy
from canary.policy.model import Policy
from canary.timing.clock import SystemClock
from canary.web.options import WebOptions
from canary.web.service import Service
from tests.support.programs.processes import eventually


class Openings:
    """Stands for what serves a policy: remembers what was opened and closed, and fails where a test says so."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.reloaded: list[str] = []
        self.faulty: dict[str, Exception] = {}
        self.refusing: dict[str, Exception] = {}
        self.speechless: dict[str, Exception] = {}
        self.options = WebOptions()

    @asynccontextmanager
    async def __call__(self, _path: Path, policy: Policy) -> AsyncIterator[Service]:
        """Serve one."""
        name = policy.service
        if name in self.faulty:
            raise self.faulty[name]
        self.opened.append(name)
        registry = CollectorRegistry(auto_describe=True)
        Gauge("canary_tested", "For the test.", ["service"], registry=registry).labels(name).set(1)

        async def reload() -> None:
            if name in self.refusing:
                raise self.refusing.pop(name)
            self.reloaded.append(name)

        def status() -> dict[str, str]:
            if name in self.speechless:
                raise self.speechless[name]
            return {"Service": name, "State": "idle"}

        try:
            yield Service(
                name="receiver",
                options=member_options(self.options, name),
                registry=registry,
                reload=reload,
                parts={"tested": registry},
                status=status,
            )
        finally:
            self.closed.append(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the policies of two services, and files that are none."""
    for name in ("books", "shop"):
        (tmp_path / f"{name}.yaml").write_text(f"service: {name}\n", encoding="utf-8")
    (tmp_path / ".shop.yaml.swp.yaml").write_text("half", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("none", encoding="utf-8")
    return tmp_path


def fleet_of(openings: Openings, *paths: Path) -> Fleet:
    """A fleet that is looked at when a test says so."""
    return Fleet(paths, openings, SystemClock())


async def settled(fleet: Fleet) -> None:
    """The files are as they are for two looks."""
    for _ in range(2):
        await fleet.look()


def faults(fleet: Fleet) -> dict[str, str]:
    """What is wrong, by service."""
    return {member.name: member.fault for member in fleet.members if member.fault}


def test_a_folder_has_the_policies_that_are_whole(folder: Path) -> None:
    """Hidden and other files are none; a file that is named and not there is told, and not left out."""
    gone = folder / "gone.yaml"

    found = policy_files([folder, gone])

    assert [path.name for path in found] == ["books.yaml", "shop.yaml", "gone.yaml"]
    assert found[gone] is None


async def test_policies_are_read_one_after_the_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What checks the first one is being built: two threads at it break Python's parser, and a service would fail."""
    reading = threading.Lock()

    def alone(path: Path) -> Policy:
        assert reading.acquire(blocking=False)
        time.sleep(0.01)
        reading.release()
        return load_policy(path)

    monkeypatch.setattr("canary.fleet.fleet.load_policy", alone)
    for number in range(5):
        (folder / f"shop{number}.yaml").write_text(f"service: shop{number}\n", encoding="utf-8")
    fleet = fleet_of(Openings(), folder)
    async with fleet.running():
        await eventually(lambda: fleet.settled, "followed")
        assert faults(fleet) == {}


async def test_files_that_come_change_and_go_are_followed(folder: Path) -> None:
    """Each by its own service alone: taken over, restarted where that is needed, ended; and the others run on."""
    openings = Openings()
    fleet = fleet_of(openings, folder)
    async with fleet.running():
        await eventually(lambda: fleet.settled, "followed")
        (folder / "toys.yaml").write_text("service: toys\n", encoding="utf-8")
        (folder / "shop.yaml").write_text("service: shop\n# changed\n", encoding="utf-8")
        await settled(fleet)
        await eventually(lambda: "toys" in openings.opened and openings.reloaded == ["shop"], "followed")
        openings.refusing["shop"] = RestartNeededError([])
        (folder / "shop.yaml").write_text("service: shop\n# changed again\n", encoding="utf-8")
        (folder / "toys.yaml").unlink()
        await settled(fleet)
        await eventually(lambda: openings.opened.count("shop") == 2, "followed")

        assert openings.closed.count("toys") == 1
        assert [member.name for member in fleet.members] == ["books", "shop"]
        assert (openings.opened.count("books"), "books" in openings.closed) == (1, False)
    assert sorted(openings.closed) == ["books", "shop", "shop", "toys"]


async def test_a_policy_that_is_faulty_stops_only_itself_and_never_what_it_was_before(folder: Path) -> None:
    """One that cannot begin is told and tried again; one that became faulty leaves the old one in force."""
    openings = Openings()
    openings.faulty["books"] = OSError("no such database")
    openings.refusing["shop"] = PolicyError([])
    (folder / "broken.yaml").write_text("service: [", encoding="utf-8")
    fleet = fleet_of(openings, folder)
    async with fleet.running():
        await eventually(lambda: fleet.settled, "followed")
        assert fleet.service("shop") is not None
        assert "no such database" in faults(fleet)["books"]
        assert "not valid YAML" in faults(fleet)["broken"]

        openings.faulty.clear()
        for name in ("books", "shop"):
            (folder / f"{name}.yaml").write_text(f"service: {name}\n# changed\n", encoding="utf-8")
        await settled(fleet)
        await eventually(lambda: fleet.service("books") is not None and not openings.refusing, "followed")
        assert fleet.service("shop") is not None
        assert "shop" not in openings.closed


async def test_a_name_belongs_to_one_policy(folder: Path) -> None:
    """The second file with the same service is refused, with the first one's name."""
    (folder / "another.yaml").write_text("service: shop\n", encoding="utf-8")
    openings = Openings()
    fleet = fleet_of(openings, folder / "shop.yaml", folder)
    async with fleet.running():
        await eventually(lambda: fleet.settled, "followed")

        assert openings.opened.count("shop") == 1
        (fault,) = faults(fleet).values()
        assert "shop is the service of" in fault


async def test_a_file_counts_when_it_is_written_whole_and_is_gone_when_it_stays_away(folder: Path) -> None:
    """What one look finds may be the beginning of a file, or the moment in which it is replaced."""
    openings = Openings()
    fleet = fleet_of(openings, folder)
    path = folder / "shop.yaml"
    async with fleet.running():
        await eventually(lambda: fleet.settled, "followed")
        for text in ("service: shop\n# half", "service: shop\n# half of it", "service: shop\n# whole\n"):
            path.write_text(text, encoding="utf-8")
            (folder / "toys.yaml").write_text(text.replace("shop", "toys"), encoding="utf-8")
            await fleet.look()
            assert (openings.reloaded, "toys" in openings.opened) == ([], False)
        await fleet.look()
        await eventually(lambda: openings.reloaded == ["shop"] and "toys" in openings.opened, "followed")

        whole = path.read_text(encoding="utf-8")
        path.unlink()
        await fleet.look()
        path.write_text(whole, encoding="utf-8")
        await settled(fleet)
        assert "shop" not in openings.closed


async def test_a_folder_that_cannot_be_listed_ends_no_service(folder: Path) -> None:
    """Nobody knows then which policies there are; when it is back, its services are as they were."""
    openings = Openings()
    fleet = fleet_of(openings, folder)
    async with fleet.running():
        await eventually(lambda: fleet.settled, "followed")
        away = await asyncio.to_thread(folder.rename, folder.with_name("away"))
        for _ in range(2):
            with pytest.raises(OSError, match="No such file"):
                await fleet.look()
        assert fleet.service("shop") is not None
        await asyncio.to_thread(away.rename, folder)
        await settled(fleet)

        assert (openings.opened, openings.closed) == (["books", "shop"], [])


async def test_a_running_service_does_not_end_for_a_name_that_another_has(folder: Path) -> None:
    """As when one policy is copied over another by mistake: the fault is told, and what was before stays in force."""
    openings = Openings()
    fleet = fleet_of(openings, folder)
    async with fleet.running():
        await eventually(lambda: fleet.settled, "followed")
        openings.refusing["shop"] = RestartNeededError([])
        (folder / "shop.yaml").write_text("service: books\n# copied\n", encoding="utf-8")
        await settled(fleet)
        await eventually(lambda: bool(faults(fleet)), "told")

        assert "books is the service of" in faults(fleet)["shop"]
        assert fleet.service("shop") is not None
        assert openings.closed == []


async def test_a_service_that_cannot_tell_its_state_leaves_the_list_whole(folder: Path) -> None:
    """It says so in its own line, and the others are shown."""
    openings = Openings()
    openings.speechless["shop"] = ValueError("no such verdict")
    fleet = fleet_of(openings, folder)
    async with fleet.running():
        await eventually(lambda: fleet.settled, "followed")

        assert {one["service"]: one["status"]["State"] for one in listed(fleet)} == {
            "books": "idle",
            "shop": "cannot be told (no such verdict)",
        }


async def test_each_service_has_a_door_and_all_have_a_list(folder: Path) -> None:
    """Paths below the service's name, metrics together and alone, nothing where nothing runs; below any prefix."""
    openings = Openings()
    (folder / "broken.yaml").write_text("<b>", encoding="utf-8")
    fleet = fleet_of(openings, folder)
    async with (
        fleet.running(),
        front("receiver", fleet, WebOptions(), ["tested"]).serving() as urls,
        aiohttp.ClientSession(urls[0]) as http,
    ):
        await eventually(lambda: fleet.settled, "followed")

        async def text(path: str) -> str:
            async with http.get(path) as answer:
                return f"{answer.status} {answer.url.path} {await answer.text()}"

        page = await text("/")
        assert 'href="services/shop/"' in page
        assert "not running: broken.yaml" in page
        assert "<b>" not in page
        assert (await text("/services/shop")).startswith("200 /services/shop/ ")
        assert (await text("/services/shop/-/healthy")).startswith("200 ")
        assert (await text("/services/nobody/")).startswith("404 ")
        assert (await text("/services/shop/nothing")).startswith("404 ")
        together, alone = await text("/metrics"), await text("/metrics?service=books")
        assert [line for line in together.splitlines() if line.startswith("canary_tested")] == [
            'canary_tested{service="books"} 1.0',
            'canary_tested{service="shop"} 1.0',
        ]
        assert together.count("\ncanary_build_info{") == 1
        assert 'canary_tested{service="shop"}' not in alone
        assert (await text("/metrics?service=nobody")).startswith("404 ")
        assert (await text("/metrics/tested")).count("\ncanary_tested{") == 2
        async with http.get("/api/v1/services") as answer:
            listed = await answer.json()
        assert [(one["service"], one["running"], bool(one["fault"])) for one in listed] == [
            ("books", True, False),
            ("broken", False, True),
            ("shop", True, False),
        ]


async def test_which_services_there_are_is_told_to_nobody_without_a_password(folder: Path) -> None:
    """Whoever may not ask is refused alike at a service that runs, at one that does not, and at a path of neither."""
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    web_config = folder / "web.config"
    web_config.write_text(f"basic_auth_users: {{ada: '{hashed}'}}\n", encoding="utf-8")
    fleet = fleet_of(Openings(), folder)
    async with (
        fleet.running(),
        front("receiver", fleet, WebOptions(config_file=web_config)).serving() as urls,
        aiohttp.ClientSession(urls[0]) as http,
    ):
        await eventually(lambda: fleet.settled, "followed")

        async def statuses(**headers: str) -> list[int]:
            paths = ("/services/shop/", "/services/nobody/", "/services/shop/nothing", "/services/nobody", "/nothing")
            return [(await http.get(path, allow_redirects=False, headers=headers)).status for path in paths]

        strangers, ada = await statuses(), await statuses(Authorization=aiohttp.encode_basic_auth("ada", "right"))

    assert strangers == [401] * 5
    assert ada == [200, 404, 404, 302, 404]
