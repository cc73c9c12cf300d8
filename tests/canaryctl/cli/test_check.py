"""`canary check` as a person and as a script see it."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from canaryctl.cli.check import command

ROOT = Path(__file__).resolve().parents[3]


def test_the_root_policy_passes_offline() -> None:
    """What stands in the repository is valid, and promtool and amtool take what it generates."""
    result = CliRunner().invoke(command, ["--offline", "--config.file", str(ROOT / "canary.yaml")])

    assert result.exit_code == 0, result.output
    assert "promtool finds no fault" in result.output
    assert "amtool finds no fault" in result.output


def test_a_fault_ends_it_with_status_one(tmp_path: Path) -> None:
    """The line begins with the status and holds file, line, key and hint."""
    path = tmp_path / "canary.yaml"
    path.write_text("service: shop\nkpi: {}\n", encoding="utf-8")

    result = CliRunner().invoke(command, ["--config.file", str(path)])

    assert result.exit_code == 1
    assert "failed   canary.yaml:2: kpi: unknown key; did you mean 'kpis'?\n" in result.output
    assert "\x1b[" not in result.output


def test_scripts_get_json(tmp_path: Path) -> None:
    """One object per finding, and nothing else on standard output."""
    path = tmp_path / "canary.yaml"
    path.write_text("service: shop\n", encoding="utf-8")

    result = CliRunner().invoke(command, ["--config.file", str(path), "--only", "database", "--format", "json"])
    found = json.loads(result.output)

    assert result.exit_code == 0
    assert [finding["status"] for finding in found] == ["ok", "skipped"]
    assert set(found[0]) == {"place", "status", "what", "remedy"}


def test_servers_that_are_down_are_failures(tmp_path: Path) -> None:
    """What the policy names and is unreachable fails, each with a remedy, and the rest is still looked at."""
    path = tmp_path / "canary.yaml"
    down = "receiver: {url: 'http://127.0.0.1:1', prometheus: 'http://127.0.0.1:1', alertmanager: 'http://127.0.0.1:1'}"
    path.write_text(f"service: shop\n{down}\n", encoding="utf-8")

    result = CliRunner().invoke(command, ["--config.file", str(path), "--format", "json"])
    failed = {one["place"].split()[0] for one in json.loads(result.output) if one["status"] == "failed"}

    assert result.exit_code == 1
    assert failed == {"prometheus", "alertmanager", "receiver"}


def on_a_terminal(tmp_path: Path, **environment: str) -> str:
    """What `canary check` writes when a person looks on."""
    (tmp_path / "canary.yaml").write_text("service: shop\nkpi: {}\n", encoding="utf-8")
    program = str(Path(sys.executable).with_name("canary"))
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [program, "check"], cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(slave)
    said = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        said += piece
    os.close(master)
    assert process.wait(30) == 1
    return said.decode()


def test_a_terminal_gets_colours_unless_they_are_not_wanted(tmp_path: Path) -> None:
    """Failures are red; with NO_COLOR set nothing has a colour, and the words are the same."""
    coloured, plain = on_a_terminal(tmp_path), on_a_terminal(tmp_path, NO_COLOR="1")
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")

    assert colour.search(coloured)
    assert not colour.search(plain)
    assert "did you mean 'kpis'?" in plain
