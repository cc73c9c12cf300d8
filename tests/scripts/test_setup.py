"""The scripts that set a machine up: what they say to whom, and how they repair what was interrupted.

They run with stand-ins for what changes the machine (apt-get, sudo, Python), on a PATH that has nothing else.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
_TOOLS = (
    "bash", "cat", "chmod", "comm", "cp", "dirname", "env", "find", "grep", "mkdir", "mktemp", "rm", "sort", "tail",
    "tee", "touch", "true",
)  # fmt: skip

# Makes an "environment" whose Python is this script again, and does what the file `pip` next to it says.
_PYTHON = """#!/bin/bash
echo "$0 $*" >> {log}
case "$*" in
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  "-m pip "*) [ ! -e {folder}/pip-fails ] ;;
  *"import pip"*) [ ! -e "$(dirname "$0")/no-pip" ] ;;
esac
"""


@dataclass
class Machine:
    """A folder with stand-ins, and a log of how they were called."""

    folder: Path

    def program(self, name: str, text: str) -> Path:
        """Write a stand-in."""
        path = self.folder / "bin" / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def run(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of our scripts there."""
        environment = {"PATH": str(self.folder / "bin"), "PYTHON": "python", "TMPDIR": str(self.folder)}
        argv = [str(self.folder / "scripts" / script), *words]
        return subprocess.run(argv, cwd=self.folder, check=False, capture_output=True, text=True, env=environment)

    def calls(self) -> list[str]:
        """How the stand-ins were called since the last look."""
        log = self.folder / "log"
        found = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with Python and a shell, without anything that we need besides."""
    (tmp_path / "bin").mkdir()
    for tool in _TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    made = Machine(tmp_path)
    made.program("python", _PYTHON.format(log=tmp_path / "log", folder=tmp_path))
    made.program("id", "#!/bin/bash\necho 1000\n")
    made.program("apt-get", "#!/bin/bash\nexit 1\n")
    return made


@pytest.mark.parametrize("sudo", [None, "echo 'sudo: a password is required' >&2; exit 1"])
def test_who_may_not_install_is_told_everything_in_one_go(machine: Machine, sudo: str | None) -> None:
    """Without sudo, and with one that does not let this user in: one sentence with all that the purpose needs."""
    machine.program("python", "#!/bin/bash\nexit 1\n")  # a Debian without python3-venv
    if sudo:
        machine.program("sudo", f"#!/bin/bash\n{sudo}\n")

    outcome = machine.run("debian", "setup")

    assert outcome.returncode == 1
    assert outcome.stderr.splitlines()[-1] == (
        "Missing: python3-venv. As root: apt-get install --no-install-recommends python3-venv"
    )


def test_a_demo_asks_for_all_its_packages_at_once(machine: Machine) -> None:
    """Prometheus, Alertmanager and what makes environments stand in the same sentence."""
    machine.program("python", "#!/bin/bash\nexit 1\n")

    outcome = machine.run("debian", "demo")

    assert "python3-venv prometheus prometheus-alertmanager" in outcome.stderr.splitlines()[-1]
    assert len(outcome.stderr.splitlines()) == 1


def test_a_missing_network_is_named(machine: Machine) -> None:
    """apt's own words, and what they mean."""
    machine.program("python", "#!/bin/bash\nexit 1\n")
    machine.program("sudo", '#!/bin/bash\n[ "$1" != apt-get ] || { echo "E: Could not resolve"; exit 1; }\n')

    outcome = machine.run("debian", "setup")

    assert outcome.returncode == 1
    assert "Could not resolve" in outcome.stderr
    assert outcome.stderr.splitlines()[-1] == "The network seems to be missing; the first run needs it."


def test_an_environment_is_made_from_the_exact_list(machine: Machine) -> None:
    """The list with its hashes, then the project without anything else; a mark says that both are there."""
    outcome = machine.run("venv", ".venv", "demo")

    assert outcome.returncode == 0, outcome.stderr
    pip = [call for call in machine.calls() if "-m pip install" in call]
    assert len(pip) == 2
    assert all("--no-deps" in call for call in pip)
    assert "--require-hashes --requirement requirements/demo.txt" in pip[0]
    assert pip[1].endswith("--no-build-isolation --editable .")
    assert sorted(path.name for path in (machine.folder / ".venv").iterdir()) == [".installed-demo", "bin"]


def test_what_was_interrupted_is_begun_anew(machine: Machine) -> None:
    """After a failure in the middle the environment is made from nothing; after a whole one it is kept."""
    (machine.folder / "pip-fails").touch()
    failed = machine.run("venv", ".venv", "dev")
    (machine.folder / ".venv" / "half").touch()
    (machine.folder / "pip-fails").unlink()
    machine.calls()

    mended = machine.run("venv", ".venv", "dev")
    first = machine.calls()
    again = machine.run("venv", ".venv", "dev")
    second = machine.calls()

    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].endswith("Is the network there? The first run needs it.")
    assert (mended.returncode, again.returncode) == (0, 0)
    assert not (machine.folder / ".venv" / "half").exists()
    assert [any("-m venv" in call for call in calls) for calls in (first, second)] == [True, False]
    assert (machine.folder / ".venv" / ".installed").exists()


def test_a_whole_environment_survives_a_failed_renewal(machine: Machine) -> None:
    """Without a network the newer list cannot be installed; what was there goes on working."""
    machine.run("venv", ".venv", "dev")
    (machine.folder / ".venv" / "precious").touch()
    (machine.folder / "pip-fails").touch()

    failed = machine.run("venv", ".venv", "dev")
    (machine.folder / "pip-fails").unlink()
    mended = machine.run("venv", ".venv", "dev")

    assert (failed.returncode, mended.returncode) == (1, 0)
    assert (machine.folder / ".venv" / "precious").exists()


def test_an_environment_without_pip_is_begun_anew(machine: Machine) -> None:
    """Ctrl-C in the first seconds leaves a Python without pip."""
    machine.run("venv", ".venv", "demo")
    (machine.folder / ".venv" / "bin" / "no-pip").touch()
    machine.calls()

    outcome = machine.run("venv", ".venv", "demo")

    assert outcome.returncode == 0
    assert any("-m venv" in call for call in machine.calls())
    assert not os.path.lexists(machine.folder / ".venv" / "bin" / "no-pip")
