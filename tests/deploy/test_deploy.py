"""What deploy/ offers is valid, hardened, and what the generators write."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from canary.policy import load_policy
from canary.routers import routers_of
from canaryctl.cli import canary
from tests.support.documents.distribution import build
from tests.support.programs.ports import free_port
from tests.support.programs.processes import SEARCH_PATH

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
RELOADED = [unit for unit in UNITS if "assignments" not in unit.stem]  # the follower's settings ask for a restart


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    """Run an administrator's program."""
    words = [str(word) for word in argv]
    return subprocess.run(words, check=False, capture_output=True, text=True, env={"PATH": SEARCH_PATH})


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_are_valid_and_hardened(unit: Path, tmp_path: Path) -> None:
    """systemd finds nothing wrong, and little that the service could do beyond its work (under 3 of 10)."""
    copy = tmp_path / unit.name
    text = unit.read_text(encoding="utf-8").replace("/opt/kpi-canary/bin/canary", "/bin/true")
    copy.write_text(text, encoding="utf-8")

    verified = run("systemd-analyze", "verify", copy)
    security = run("systemd-analyze", "security", "--offline=true", "--no-pager", copy)

    assert (verified.returncode, verified.stderr) == (0, "")
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", security.stdout)
    assert level is not None, security.stderr
    assert float(level[1]) < 3
    assert "\nLimitCORE=0\n" in text, "a core dump would hold the tokens"


def test_one_service_s_memory_ends_no_other_service() -> None:
    """Without this line systemd ends the whole exporter when the kernel has ended one of its processes."""
    text = (DEPLOY / "systemd" / "kpi-canary-exporter.service").read_text(encoding="utf-8")
    assert "\nOOMPolicy=continue\n" in text


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_call_commands_that_are_there(unit: Path) -> None:
    """The command and its options exist."""
    text = unit.read_text(encoding="utf-8").replace("\\\n", "")
    line = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    name, *options = line.removeprefix("ExecStart=").split()[1:]

    command = canary.get_command(canary.make_context("canary", ["--help"], resilient_parsing=True), name)

    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    assert {option.partition("=")[0] for option in options} <= known
    # Everything outside of its own folders is read-only for a unit, the policy's folder too.
    written = [value for key, _, value in (option.partition("=") for option in options) if key == "--state.file"]
    assert all(path.startswith("/var/lib/kpi-canary/") for path in written)
    assert len(written) == (1 if name == "exporter" else 0)


@pytest.mark.parametrize("unit", RELOADED, ids=lambda unit: unit.stem)
def test_reload_needs_no_further_package(unit: Path) -> None:
    """The command that systemd gives at a reload signals the service with nothing but a shell on the machine."""
    line = next(line for line in unit.read_text(encoding="utf-8").splitlines() if line.startswith("ExecReload="))
    # Whoever starts the tests may ignore the signal (nohup does), and programs inherit that.
    program = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); print(flush=True); signal.pause()"
    service = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert service.stdout is not None
    with service.stdout as said:
        said.readline()

    subprocess.run(
        shlex.split(line.removeprefix("ExecReload=")), check=True, env={"PATH": "", "MAINPID": str(service.pid)}
    )

    assert service.wait() == -signal.SIGHUP


def test_logrotate_reads_its_file(tmp_path: Path) -> None:
    """logrotate finds no fault; the log's folder and owner are this machine's here."""
    log = tmp_path / "rollbacks.log"
    log.write_text("one line\n", encoding="utf-8")
    text = (DEPLOY / "logrotate").read_text(encoding="utf-8")
    copy = tmp_path / "logrotate.conf"
    changed = text.replace("/var/log/kpi-canary/rollbacks.log", str(log)).replace(
        "create 0640 kpi-canary kpi-canary", "create"
    )
    copy.write_text(changed, encoding="utf-8")
    copy.chmod(0o644)

    result = run("logrotate", "--debug", "--state", tmp_path / "state", copy)

    assert result.returncode == 0
    assert "error:" not in result.stderr
    assert "rotating pattern" in result.stderr


@pytest.mark.parametrize(("folder", "policy"), [("haproxy", "canary.yaml"), ("nginx", "deploy/nginx/canary.yaml")])
def test_router_examples_are_what_is_generated(folder: str, policy: str) -> None:
    """The examples are the generators' output for the policies that they name."""
    [router] = routers_of(load_policy(ROOT / policy))

    for name, text in router.snippet().items():
        assert (DEPLOY / folder / name).read_text(encoding="utf-8") == text


def test_haproxy_takes_its_example(tmp_path: Path) -> None:
    """`haproxy -c` on the example, with the paths and the port of a test."""
    shutil.copy(DEPLOY / "haproxy" / "canary.map", tmp_path / "canary.map")
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")
    text = text.replace("/etc/haproxy/canary.map", str(tmp_path / "canary.map"))
    text = text.replace("/run/haproxy/canary.sock", str(tmp_path / "canary.sock")).replace(
        ":80\n", f"127.0.0.1:{free_port()}\n"
    )
    (tmp_path / "haproxy.cfg").write_text(text, encoding="utf-8")

    result = run("haproxy", "-c", "-f", tmp_path / "haproxy.cfg")

    assert result.returncode == 0, result.stderr


def test_nginx_takes_its_example(tmp_path: Path) -> None:
    """`nginx -t` on the example inside a minimal configuration."""
    text = (DEPLOY / "nginx" / "canary.conf").read_text(encoding="utf-8")
    (tmp_path / "canary.conf").write_text(
        re.sub(r"listen 80\b", f"listen 127.0.0.1:{free_port()}", text), encoding="utf-8"
    )
    main = f"error_log stderr;\npid {tmp_path}/pid;\nevents {{}}\n"
    main += f"http {{ access_log off; include {tmp_path}/canary.conf; }}\n"
    (tmp_path / "nginx.conf").write_text(main, encoding="utf-8")

    result = run("nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf")

    assert result.returncode == 0, result.stderr


def test_the_container_copies_what_the_program_is_built_from(tmp_path: Path) -> None:
    """From what the container file copies, and nothing else, comes the same wheel as from the repository."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    source = tmp_path / "src"
    for line in text.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            *names, target = line.split()[1:]
            for name in names:
                to = source / (Path(name).name if target == "./" else target)
                to.parent.mkdir(parents=True, exist_ok=True)
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, to, symlinks=True)
                else:
                    shutil.copy(ROOT / name, to)

    wheels = [next(build(tmp_path / folder, place).glob("*.whl")) for folder, place in (("a", source), ("b", ROOT))]

    first, second = ({name for name in zipfile.ZipFile(wheel).namelist() if ".pyc" not in name} for wheel in wheels)
    assert first == second
