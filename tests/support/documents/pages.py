"""Runs a page of docs/ as a reader would: writes its files, gives its commands in order, compares what they print.

* A fenced block `yaml NAME` (or another language and a name) is a file to write.
* A fenced block `console` holds commands after `$ `, continued after `> `; the other lines must come in what the
  command prints, in this order, where `...` stands for anything. `console exit=1` ends with that status.
* A command that ends with `&` is a service; the next command waits until it listens.

Everything runs in a folder and a network of its own, so that every port is free and nothing outside is reached. An
administrator's page also gets system folders of its own: it may add users, enable services and install programs, and
all of it is gone at its end.
"""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.programs.processes import SEARCH_PATH

DOCS = Path(__file__).resolve().parents[3] / "docs"

_BLOCK = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PORTS = {"canary exporter": 9877, "canary receiver": 9878, "prometheus-alertmanager": 9093, "prometheus": 9090}
_PATIENT = re.compile(r"^(canary (status|history|drill|check)|curl)\b")
_SECONDS = 350

# A network without anything in it needs its loopback switched on (`ip` is not on every machine), and the folders that
# pages name are fresh ones that nobody else sees.
_ROOM = """\
import fcntl, os, pathlib, socket, struct, subprocess, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh22x", b"lo", 0x41))
def mount(kind, folder, *options):
    subprocess.run(["mount", "-t", kind, *options, kind, folder], check=True)
system, *words = sys.argv[1:]
if system == "own":
    mount("tmpfs", "/mnt")
    for folder in ("/etc", "/opt", "/usr/local", "/var"):
        upper, work = (pathlib.Path("/mnt") / part / folder[1:] for part in ("upper", "work"))
        upper.mkdir(parents=True)
        work.mkdir(parents=True)
        mount("overlay", folder, "-o", f"lowerdir={folder},upperdir={upper},workdir={work}")
for folder in ("/run", "/etc/haproxy"):
    mount("tmpfs", folder)
os.execvp(words[0], words)
"""
# Dependencies that an installation made in the room may borrow: they come after its own packages.
_BORROWED = f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})\n"
_NO_NAMESPACES = (
    "the pages of docs/ are run in namespaces of their own, which this machine forbids ({}); "
    "a container allows them with --cap-add=SYS_ADMIN --security-opt=seccomp=unconfined "
    "--security-opt=apparmor=unconfined"
)
_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=KILL")


@dataclass
class Command:
    """One command of a page, and what the page shows of its output."""

    text: str
    status: int = 0
    expected: list[str] = field(default_factory=list)

    @property
    def service(self) -> bool:
        """Whether it goes on running."""
        return self.text.rstrip().endswith("&")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, the name that may follow it, its text."""

    language: str
    name: str
    text: str


def blocks_of(path: Path) -> list[Block]:
    """All fenced blocks of a page."""
    return [Block(*found) for found in _BLOCK.findall(path.read_text(encoding="utf-8"))]


class Page:
    """One page, run in a folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.commands: list[Command] = []
        self.files: dict[str, str] = {}
        for block in blocks_of(DOCS / name):
            if block.language == "console":
                self.commands += _commands(block.text, block.name)
            elif block.name:
                assert block.name not in self.files, f"{name} gives {block.name} twice: nobody would run the first"
                self.files[block.name] = block.text

    def write_files(self) -> None:
        """Write the page's files into the folder."""
        for name, text in self.files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def run(self) -> None:
        """Give all commands; AssertionError for the first that does not do what the page says."""
        self._run("shared", self._script(), {"PYTHONPATH": str(DOCS.parent)})

    def administer(self, before: Sequence[str] = ()) -> None:
        """Give all commands with system folders of their own, as root or through sudo.

        Args:
            before: commands that make the machine what the page takes for granted.
        """
        programs, borrowed = self.folder / ".bin", self.folder / ".borrowed"
        for path, text in ((programs / "sudo", '#!/bin/sh\nexec "$@"\n'), (borrowed / "sitecustomize.py", _BORROWED)):
            path.parent.mkdir()
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755)
        environment = {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{SEARCH_PATH}",
            "PYTHONPATH": str(borrowed),
            "PIP_FIND_LINKS": "",
            "PIP_NO_BUILD_ISOLATION": "0",  # as pip has it, this switches the isolation off
            **dict.fromkeys(("PIP_NO_INDEX", "PIP_NO_DEPS", "PIP_IGNORE_INSTALLED", "SYSTEMD_OFFLINE"), "1"),
        }
        self._run("own", [*before, *self._script()], environment)

    def _run(self, system: str, script: Sequence[str], environment: dict[str, str]) -> None:
        file = self.folder / ".page.sh"
        file.write_text("\n".join(script), encoding="utf-8")
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{SEARCH_PATH}",
            "HOME": str(self.folder),
            "USER": "reader",
            **environment,
        }
        root = os.geteuid() == 0
        # Folders of the system belong to root, who is nobody in a namespace that a user makes.
        sudo = ["sudo", "-n"] if system == "own" and not root else []
        unshare = [*_UNSHARE, *(() if root or sudo else ("--map-root-user",)), "--"]
        variables = [f"{name}={value}" for name, value in environment.items()]
        tried = subprocess.run([*sudo, *unshare, "true"], check=False, capture_output=True, text=True)
        assert tried.returncode == 0, _NO_NAMESPACES.format(tried.stderr.strip())
        # What is left running ends with the namespace.
        subprocess.run(
            [*sudo, "env", "-i", *variables, *unshare, sys.executable, "-c", _ROOM, system, "bash", str(file)],
            check=False,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
        )
        if sudo:
            subprocess.run([*sudo, "chown", "-R", f"{os.getuid()}:{os.getgid()}", str(self.folder)], check=True)
        for number, command in enumerate(self.commands):
            self._compare(number, command)

    def _compare(self, number: int, command: Command) -> None:
        output = self.folder / f".out.{number}"
        said = output.read_text(encoding="utf-8", errors="replace") if output.exists() else "(never came to it)"
        where = f"{self.name}: `{command.text}` said:\n{said}"
        if not command.service:
            ended = self.folder / f".status.{number}"
            status = ended.read_text().strip() if ended.exists() else "none"
            assert status == str(command.status), f"{where}\nexit status {status}, expected {command.status}"
        assert matches(said, command.expected), f"{where}\nexpected:\n" + "\n".join(command.expected)

    def _script(self) -> list[str]:
        lines = ["trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
        for number, command in enumerate(self.commands):
            output, ended = f".out.{number}", f".status.{number}"
            if command.service:
                text = command.text.rstrip().removesuffix("&")
                lines += [f"{text} >{output} 2>&1 &", _wait_for(text)]
                continue
            # A reader looks again until what was begun has happened.
            tries = 8 if _PATIENT.match(command.text) else 1
            check = shlex.join([sys.executable, __file__, output, ended, str(command.status), *command.expected])
            lines += [
                f"for try in $(seq {tries}); do",
                f"{{ {command.text}\n}} >{output} 2>&1; echo $? >{ended}",
                f"[ $try = {tries} ] || {check} && break; sleep 1",
                "done",
                f"[ $(cat {ended}) = {command.status} ] || exit 1",
            ]
        return lines


def _commands(body: str, words: str) -> list[Command]:
    status = int(words.removeprefix("exit=")) if words else 0
    found: list[Command] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:]))
        elif line.startswith("> "):
            found[-1].text += f"\n{line[2:]}"
        elif line.strip():
            found[-1].expected.append(line)
    found[-1].status = status
    return found


def _wait_for(text: str) -> str:
    port = next((port for program, port in _PORTS.items() if text.startswith(program)), None)
    if port is None:
        return "sleep 1"
    probe = f"(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null"
    return f"for try in $(seq 300); do {probe} && break; sleep 0.1; done"


def matches(said: str, expected: list[str]) -> bool:
    """Whether the expected lines come in what was said, one after the other; `...` stands for anything."""
    pattern = ".*".join(
        ".*?".join(re.escape(piece) for piece in re.sub(r"\s+", " ", line.strip()).split("...")) for line in expected
    )
    return re.search(pattern, re.sub(r"[ \t]+", " ", said), re.DOTALL) is not None


if __name__ == "__main__":
    _, output_file, status_file, wanted, *lines_wanted = sys.argv
    right = Path(status_file).read_text().strip() == wanted
    sys.exit(0 if right and matches(Path(output_file).read_text(errors="replace"), lines_wanted) else 1)
