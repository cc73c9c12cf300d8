"""nginx' own troubles: wiped and unwritable folders, caches of open files, configurations that do not look."""

import asyncio
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.errors import RouterError
from canary.finding import Status
from canary.policy.routers.sections import NginxRouter
from canary.routers import Observation, Split
from canary.routers.bucket import nginx_bucket, nginx_order
from canary.routers.nginx.driver import NginxMarkerRouter
from canary.routers.nginx.markers import MarkerDirectory
from canary.threads import InlineThreads
from tests.support.programs.nginx import Nginx
from tests.support.web.traffic import Customer, Upstream

MakeNginx = Callable[..., Nginx]
T = TypeVar("T")

FIVE = Split("r-7", 0.05)
HALF = Split("r-7", 0.5)
CLOSED = Split("r-7", 0)


def markers(path: Path) -> NginxMarkerRouter:
    """A router over one folder, without nginx."""
    return NginxMarkerRouter(NginxRouter(kind="nginx", directories=(str(path),)))


async def versions(nginx: Nginx, count: int = 20) -> set[str]:
    """What *count* users are answered by."""
    customers = [Customer(nginx.port, f"u{number}") for number in range(count)]
    answers = [await customer.ask() for customer in customers]
    for customer in customers:
        customer.close()
    return {answer.version or answer.failure for answer in answers}


async def test_a_rollback_is_one_unlink(tmp_path: Path) -> None:
    """Removing the link `active` by hand is a complete rollback, and doing it again does no harm."""
    router = markers(tmp_path)
    await router.set_weight(HALF)

    (tmp_path / "active").unlink()

    assert (await router.read()).agrees(CLOSED)
    await router.set_weight(CLOSED)
    await router.set_weight(CLOSED)
    assert (await router.read()).weight_ratio == 0


async def test_a_full_disk_does_not_stop_a_rollback(
    make_nginx: MakeNginx, small_disk: tuple[Path, Callable[[], None]]
) -> None:
    """On a full disk the weight can still go to 0; a larger one is refused and leaves the old one in force."""
    folder, fill = small_disk
    nginx = make_nginx(directories=(str(folder),))
    await nginx.start()
    await nginx.router.set_weight(HALF)
    fill()

    with pytest.raises(RouterError, match="No space left on device"):
        await nginx.router.set_weight(Split("r-7", 1))
    assert (await nginx.router.read()).agrees(HALF)
    assert len(list((folder / "steps").iterdir())) == 1

    await nginx.router.set_weight(CLOSED)
    assert (await nginx.router.read()).agrees(CLOSED)
    assert await versions(nginx) == {"stable"}


async def test_a_wiped_folder_means_stable(make_nginx: MakeNginx) -> None:
    """After a reboot has emptied /run everybody is on stable, that is read back, and asking again repairs it."""
    nginx = make_nginx()
    await nginx.start()
    await nginx.router.set_weight(HALF)
    nginx.wipe()

    assert await versions(nginx) == {"stable"}
    observation = await nginx.router.read()
    assert observation.weight_ratio == 0
    assert not observation.agrees(HALF)

    await nginx.router.set_weight(HALF)
    assert await versions(nginx) == {"stable", "canary"}


async def test_survives_a_restart(make_nginx: MakeNginx) -> None:
    """nginx forgets nothing, because it never knew."""
    nginx = make_nginx()
    await nginx.start()
    await nginx.router.set_weight(Split("r-7", 1))
    await nginx.restart()

    assert await versions(nginx) == {"canary"}


async def test_a_reload_at_the_moment_of_a_switch_brings_nothing_back(make_nginx: MakeNginx) -> None:
    """Old workers and new ones look at the same markers, with every request."""
    nginx = make_nginx()
    await nginx.start()
    for _ in range(3):
        await nginx.router.set_weight(HALF)
        assert await versions(nginx) == {"stable", "canary"}
        nginx.program.send_signal(signal.SIGHUP)
        await nginx.router.set_weight(CLOSED)
        assert "canary" not in await versions(nginx)


async def test_hosts_each_have_a_folder(tmp_path: Path) -> None:
    """Every host's folder gets the weight; one that cannot be changed is named and does not hinder the others."""
    good, bad = tmp_path / "a", tmp_path / "b"
    router = NginxMarkerRouter(NginxRouter(kind="nginx", directories=(str(bad), str(good))))
    await router.set_weight(HALF)
    shutil.rmtree(bad)
    bad.symlink_to(bad)

    with pytest.raises(RouterError, match=f"{bad}: cannot be changed"):
        await router.set_weight(CLOSED)

    readings = (await router.read()).readings
    assert [reading.instance for reading in readings] == [str(bad), str(good)]
    assert (readings[0].weight_ratio, readings[1].weight_ratio) == (None, 0)


async def test_only_what_changes_is_written(tmp_path: Path) -> None:
    """Asking for the weight in force writes nothing; an old step's markers are cleared away by the next one."""
    router = markers(tmp_path)
    await router.set_weight(FIVE)
    first = (tmp_path / "active").readlink()
    await router.set_weight(FIVE)
    assert (tmp_path / "active").readlink() == first

    for weight_ratio in (0.25, 0.5, 1):
        await router.set_weight(Split("r-7", weight_ratio))
    kept = [step.name.split("-")[1] for step in (tmp_path / "steps").iterdir()]
    assert sorted(kept) == ["100", "50"]


async def test_no_moment_without_markers(tmp_path: Path) -> None:
    """While the weight goes up and down, a user of the smallest weight is on the canary at every single look."""
    router = markers(tmp_path)
    await router.set_weight(FIVE)
    marker = tmp_path / "active" / f"{nginx_order(FIVE.salt)[0]:02d}"
    leaving = threading.Event()

    def look() -> tuple[int, int]:
        looks = misses = 0
        while not leaving.is_set():
            looks += 1
            misses += not os.path.exists(marker)  # noqa: PTH110  # as quick as can be
        return looks, misses

    looking = asyncio.create_task(asyncio.to_thread(look))
    for _ in range(10):
        for weight_ratio in (0.25, 0.5, 0.05):
            await router.set_weight(Split("r-7", weight_ratio))
            # A look may be put off by a busy machine; the step it began with stays until the change after next.
            await asyncio.sleep(0.05)
    leaving.set()
    looks, misses = await looking

    assert looks > 1000
    assert misses == 0


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.integers(0, 100), min_size=1, max_size=6), rollouts=st.lists(st.sampled_from("abc"), min_size=6)
)
def test_any_sequence_ends_where_it_was_sent(
    tmp_path_factory: pytest.TempPathFactory, weights: list[int], rollouts: list[str]
) -> None:
    """Whatever came before, the markers are exactly those of the last split."""
    directory = MarkerDirectory(tmp_path_factory.mktemp("markers"))
    for weight, rollout in zip(weights, rollouts, strict=False):
        split = Split(rollout, weight / 100)
        if weight:
            directory.open(split)
        else:
            directory.close()

        reading = directory.reading()
        assert Observation((reading,)).agrees(split)
        assert reading.error == ""


async def test_strange_markers_do_not_agree(tmp_path: Path) -> None:
    """A marker added or exchanged by hand is seen, and set right by asking again."""
    router = markers(tmp_path)
    await router.set_weight(FIVE)
    placed = sorted(path.name for path in (tmp_path / "active").iterdir() if path.name != "tester")
    stranger = next(f"{bucket:02d}" for bucket in range(100) if f"{bucket:02d}" not in placed)
    (tmp_path / "active" / placed[0]).rename(tmp_path / "active" / stranger)

    observation = await router.read()
    assert observation.weight_ratio == 0.05
    assert not observation.agrees(FIVE)
    assert "no rollout placed" in observation.detail

    await router.set_weight(FIVE)
    assert (await router.read()).agrees(FIVE)


async def test_finer_weights_than_percents_are_refused(tmp_path: Path) -> None:
    """A weight that a hundred buckets cannot give is an error, never silently another weight."""
    with pytest.raises(RouterError, match=r"whole percents from 1 to 100, found 0\.5%"):
        await markers(tmp_path).set_weight(Split("r-7", 0.005))


async def test_a_file_system_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that does not answer is an error after the time limit, while the other folder is closed."""
    slow, quick = tmp_path / "slow", tmp_path / "quick"
    router = NginxMarkerRouter(NginxRouter(kind="nginx", directories=(str(slow), str(quick)), timeout=3.0))
    await router.set_weight(HALF)
    os.mkfifo(slow / "gate")
    monkeypatch.setattr(router._directories[0], "close", (slow / "gate").read_text)

    with pytest.raises(RouterError, match=r"did not answer within 3s"):
        await router.set_weight(CLOSED)

    assert not (quick / "active").is_symlink()
    await asyncio.to_thread((slow / "gate").write_text, "")


async def test_the_umask_does_not_lock_nginx_out(tmp_path: Path) -> None:
    """Markers can be looked at by nginx' own user, however strict the receiver's umask is."""
    before = os.umask(0o077)
    try:
        await markers(tmp_path / "markers").set_weight(FIVE)
    finally:
        os.umask(before)

    step = tmp_path / "markers" / (tmp_path / "markers" / "active").readlink()
    assert [path.stat().st_mode & 0o005 for path in (tmp_path / "markers", step.parent, step)] == [0o005] * 3


async def test_a_cache_of_open_files_is_found(make_nginx: MakeNginx, canary: Upstream) -> None:
    """`open_file_cache` at http level is harmless under the generated `off`, and is found without it."""
    cached = "open_file_cache max=100; open_file_cache_valid 60s;"
    nginx = make_nginx(http=cached)
    await nginx.start()
    assert await nginx.router.check() == []
    nginx.stop()

    configuration = nginx.folder / "canary.conf"
    configuration.write_text(configuration.read_text().replace("open_file_cache off;", ""))
    await nginx.start()
    findings = await nginx.router.check()

    assert [(finding.status, finding.what.partition(" is in force")[0]) for finding in findings] == [
        (Status.FAILED, "`open_file_cache max=100`")
    ]
    assert findings[0].place.startswith(f"router nginx: {nginx.folder}/nginx.conf:")


async def test_what_nginx_accepts_is_read_as_nginx_reads_it(make_nginx: MakeNginx) -> None:
    """A configuration full of includes, odd quotes and foreign files, which a real nginx serves, has no problem."""
    nginx = make_nginx(http="include extra.d/*.conf;\n    include mime;")
    (nginx.folder / "extra.d").mkdir()
    (nginx.folder / "extra.d" / "a.conf").write_text(
        "log_format odd '$remote_addr \\'\\' {;} # no comment' \"}\"; # a comment }\nopen_file_cache max=9;\n"
    )
    (nginx.folder / "extra.d" / "b.conf").write_bytes('map $host $größe { default "\xff"; }\n# \xff'.encode("latin-1"))
    (nginx.folder / "extra.d" / ".hidden.conf").write_text("}")
    (nginx.folder / "mime").write_text("types { text/html html htm; }")
    await nginx.start()

    assert await versions(nginx) == {"stable"}
    assert await nginx.router.check() == []


async def test_an_nginx_that_cannot_be_asked_is_a_warning(make_nginx: MakeNginx) -> None:
    """When nginx refuses the configuration, or may not read it, that is reported, and what can be read is looked at."""
    nginx = make_nginx(http="open_file_cache max=5; no_such_directive;")
    configuration = nginx.folder / "canary.conf"
    configuration.write_text(configuration.read_text().replace("open_file_cache off;", ""))

    findings = await nginx.router.check()

    assert {finding.status for finding in findings} == {Status.WARNING}
    assert 'unknown directive "no_such_directive"' in findings[0].what
    assert [finding.what.partition(" is in force")[0] for finding in findings[1:]] == ["`open_file_cache max=5`"]


async def test_a_configuration_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    """A main file that is missing, as on another host than nginx' own, is named, and nothing is concluded from it."""
    missing = tmp_path / "missing.conf"
    router = NginxMarkerRouter(NginxRouter(kind="nginx", directories=(str(tmp_path),), configuration=str(missing)))
    findings = await router.check()

    assert {finding.status for finding in findings} == {Status.WARNING}
    assert findings[1].place == f"router nginx: {missing}"
    assert "No such file or directory" in findings[1].what


class TimedOut(InlineThreads):
    """A thread whose work never ends: what waits for it runs into its time limit, here at once."""

    async def run(self, work: Callable[[], T]) -> T:
        """Nothing comes of it."""
        raise TimeoutError


async def test_a_configuration_that_hangs_is_given_up(tmp_path: Path) -> None:
    """A file that never ends is a warning after the time limit, not a check that never ends."""
    section = NginxRouter(kind="nginx", directories=(str(tmp_path),), configuration="/mnt/nginx.conf")
    router = NginxMarkerRouter(section, lambda name: TimedOut() if name == "nginx-configuration" else InlineThreads())

    assert [str(finding).partition(";")[0] for finding in await router.check()] == [
        "router nginx: /mnt/nginx.conf: cannot be read (the file system did not answer within 10s)"
    ]


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"key": "user-id"}, "key: nginx knows only names"),
        ({"listen": "80; } evil {"}, "listen: expected one word"),
        ({"directories": ("/run/$evil",)}, "directories: expected one word"),
    ],
)
def test_what_nginx_cannot_read_is_refused(keys: dict[str, object], complaint: str) -> None:
    """A policy that would break or change the generated configuration is refused, and the key named."""
    section = NginxRouter(kind="nginx", **keys)  # type: ignore[arg-type]  # a test names the policy's keys
    with pytest.raises(RouterError, match=complaint):
        NginxMarkerRouter(section).snippet()


@pytest.mark.parametrize(("user", "bucket"), [("1028288", 91), ("1802610", 45), ("3409189", 14)])
async def test_users_between_exact_and_truncated_percents(make_nginx: MakeNginx, user: str, bucket: int) -> None:
    """nginx truncates each percent by itself: users whose hash lies in the gap are where Python says, one bucket on."""
    assert nginx_bucket(user) == bucket
    nginx = make_nginx()
    await nginx.start()
    order = next(
        order
        for order in (Split(f"r-{number}", 0.5) for number in range(100))
        if {bucket, bucket - 1} & set(nginx_order(order.salt)[:50]) == {bucket}
    )
    await nginx.router.set_weight(order)

    customer = Customer(nginx.port, user)
    answer = await customer.ask()
    customer.close()
    assert answer.version == "canary"


def _folder(path: Path) -> None:
    path.mkdir(parents=True)
    for number in range(100):
        (path / f"{number:02d}").touch()


def _file(path: Path) -> None:
    path.write_text("in the way")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("put", [_folder, _file, _pipe, _dangling])
@pytest.mark.parametrize("name", ["active", "steps"])
def test_anything_in_place_of_our_own_gives_way(tmp_path: Path, name: str, put: Callable[[Path], None]) -> None:
    """A folder, a file, a pipe or a dead link keeps nobody on the canary and nobody from raising again."""
    directory = MarkerDirectory(tmp_path)
    directory.open(FIVE)
    (tmp_path / name).rename(tmp_path / "elsewhere")
    put(tmp_path / name)

    directory.close()
    assert directory.reading().weight_ratio == 0
    assert not (tmp_path / "active").exists()
    directory.open(FIVE)
    assert directory.reading().weight_ratio == FIVE.weight_ratio
    assert not directory.check()
    assert not [left for left in tmp_path.iterdir() if left.name not in {"active", "steps", "elsewhere"}]


def test_a_folder_in_place_of_the_link_is_read_as_nginx_reads_it(tmp_path: Path) -> None:
    """What nginx would find is told as in force, with the fault; a folder named as a marker is none."""
    directory = MarkerDirectory(tmp_path)
    _folder(tmp_path / "active")
    (tmp_path / "active" / "00").unlink()
    (tmp_path / "active" / "00").mkdir()

    reading = directory.reading()
    assert reading.weight_ratio == 0.99
    assert "no rollout placed" in reading.error
    assert "not a symbolic link" in directory.check()[0][0]
