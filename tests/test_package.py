"""The distribution as others install it."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import canary
from canaryctl.installation import PACKAGES
from tests.support.documents.distribution import ROOT, build, unpack

ROOMS = set(PACKAGES)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of what git knows."""
    return build(tmp_path_factory.mktemp("dist"))


def environment(folder: Path, *wheels: Path) -> Path:
    """A fresh environment with these wheels, one after the other; the dependencies are borrowed from this one."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    for wheel in wheels:
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
            check=True,
            capture_output=True,
        )
    [packages] = (folder / "lib").glob("python*/site-packages")
    # A folder named by a .pth file comes after the environment's own, and its own .pth files are not read.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it."""
    return environment(tmp_path_factory.mktemp("env"), next(built.glob("*.whl")))


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of another distribution that brings a package `rules`, as django-rules does."""
    source = tmp_path_factory.mktemp("another")
    (source / "rules").mkdir()
    (source / "rules" / "__init__.py").write_text("import framework_of_another_application\n", encoding="utf-8")
    (source / "rules" / "predicates.py").touch()
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "other-rules"\nversion = "3.5"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["rules"]\n',
        encoding="utf-8",
    )
    return next(build(source / "dist", source).glob("*.whl"))


def run(installed: Path, *argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of the fresh environment, away from this repository."""
    program = [str(installed / "bin" / argv[0]), *argv[1:]]
    return subprocess.run(program, cwd=cwd, check=False, capture_output=True, text=True)


def test_the_wheel_holds_the_rooms_and_what_they_read(built: Path) -> None:
    """Every room, with jsonnet, styles, scripts and the licence; no tests, no notes."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()

    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == ROOMS
    for needed in (
        "rules/main.jsonnet",
        "alertmanager/receiver/http/page/style.css",
        "alertmanager/receiver/http/page/live.js",
        "grafana/main.jsonnet",
        "demo/canary.yaml",
        *(f"{room}/py.typed" for room in ROOMS),
    ):
        assert needed in names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    assert any(name.endswith(".data/data/share/man/man1/canary.1") for name in names)
    assert not [name for name in names if name.endswith((".db", ".pyc", ".log"))]


def test_the_sdist_can_be_built_again(built: Path, tmp_path: Path) -> None:
    """A wheel made from the sdist holds the same files."""
    source = unpack(built, tmp_path / "source")

    again = build(tmp_path / "again", source)

    with zipfile.ZipFile(next(built.glob("*.whl"))) as first, zipfile.ZipFile(next(again.glob("*.whl"))) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())
    assert (source / "LICENSE").exists()
    assert (source / "tests").is_dir()


def test_each_top_level_name_is_this_distributions_only(installed: Path, tmp_path: Path) -> None:
    """Names as plain as `rules` are ours in an environment of our own, and nobody else's."""
    program = (
        "from importlib.metadata import packages_distributions as found\n"
        "import json, sys\n"
        f"names = {sorted(ROOMS)}\n"
        "print(json.dumps({name: sorted(set(found().get(name, []))) for name in names}))\n"
        "import canary, exporter, rules, alertmanager, grafana, demo\n"
        "print(canary.__file__)\n"
    )

    answer = run(installed, "python", "-c", program, cwd=tmp_path)

    assert answer.returncode == 0, answer.stderr
    mapping, where = answer.stdout.splitlines()
    assert mapping.count("kpi-canary") == len(ROOMS)
    assert mapping.count('["kpi-canary"]') == len(ROOMS)
    assert str(installed) in where


def test_the_installed_command_works_away_from_the_repository(installed: Path, tmp_path: Path) -> None:
    """Version, help with exit statuses, and a policy from one line to generated files."""
    (tmp_path / "canary.yaml").write_text("service: shop\n", encoding="utf-8")

    version = run(installed, "canary", "--version", cwd=tmp_path)
    usage = run(installed, "canary", "--help", cwd=tmp_path)
    generated = run(installed, "canary", "generate", "--output", "out", cwd=tmp_path)
    unknown = run(installed, "canary", "chekc", cwd=tmp_path)

    assert version.stdout.startswith("canary, version ")
    assert "Exit status: 0 done; 1 a fault was found; 2 wrong usage; 3 refused" in " ".join(usage.stdout.split())
    assert generated.returncode == 0, generated.stderr
    assert (tmp_path / "out" / "prometheus" / "prometheus.yml").exists()
    assert unknown.returncode == 2


def test_the_example_policy_works_away_from_the_repository(installed: Path, tmp_path: Path) -> None:
    """A script gets the list of what was generated from it, with every room's files."""
    shutil.copy(ROOT / "canary.yaml", tmp_path)

    generated = run(installed, "canary", "generate", "--output", "out", "--format", "json", cwd=tmp_path)

    assert generated.returncode == 0, generated.stderr
    tops = {name.split("/")[0] for name in json.loads(generated.stdout)["files"]}
    assert tops == {"alertmanager", "grafana", "prometheus", "router"}


def test_installers_find_the_man_page(installed: Path) -> None:
    """It lies in the environment where pipx looks for pages to expose."""
    assert (installed / "share" / "man" / "man1" / "canary.1").is_file()


def test_shells_complete_commands(installed: Path, tmp_path: Path) -> None:
    """bash, zsh and fish each get a script from click."""
    for shell, mark in (("bash", "complete -o nosort"), ("zsh", "#compdef canary"), ("fish", "complete --no-files")):
        program = ["env", f"_CANARY_COMPLETE={shell}_source", str(installed / "bin" / "canary")]
        answer = subprocess.run(program, cwd=tmp_path, check=True, capture_output=True, text=True)
        assert mark in answer.stdout


def test_the_public_interface_is_there_and_small() -> None:
    """Each name of `canary.__all__` can be imported; what is not there is an AttributeError as everywhere."""
    assert {name: getattr(canary, name) is not None for name in canary.__all__} == dict.fromkeys(canary.__all__, True)
    assert len(canary.__all__) < 8
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = canary.nothing


def test_a_package_that_was_overwritten_is_told_at_start(built: Path, another: Path, tmp_path: Path) -> None:
    """Another distribution's `rules` over ours: the command says whose it is and what to do."""
    (tmp_path / "canary.yaml").write_text("service: shop\n", encoding="utf-8")
    spoilt = environment(tmp_path / "env", next(built.glob("*.whl")), another)

    version = run(spoilt, "canary", "--version", cwd=tmp_path)
    generate = run(spoilt, "canary", "generate", "--output", "out", cwd=tmp_path)

    said = "canary: package rules: was overwritten by the distribution other-rules; give kpi-canary an environment"
    assert version.returncode == 0
    assert version.stderr.startswith(said)
    assert len(version.stderr.splitlines()) == 1
    assert generate.returncode == 1
    assert generate.stderr.startswith(said)
    assert "Traceback" not in generate.stderr


def test_a_package_that_is_shared_is_told_at_start(built: Path, another: Path, tmp_path: Path) -> None:
    """Ours over another distribution's `rules`: we work, they do not, and uninstalling one breaks the other."""
    shared = environment(tmp_path / "env", another, next(built.glob("*.whl")))

    version = run(shared, "canary", "--version", cwd=tmp_path)

    assert version.returncode == 0
    assert version.stderr.startswith("canary: package rules: belongs to the distribution other-rules too")


def test_a_package_that_lies_elsewhere_is_told_at_start(installed: Path, tmp_path: Path) -> None:
    """A folder on PYTHONPATH that hides one of ours is named."""
    (tmp_path / "hiding" / "grafana").mkdir(parents=True)
    (tmp_path / "hiding" / "grafana" / "__init__.py").touch()
    program = ["env", f"PYTHONPATH={tmp_path / 'hiding'}", str(installed / "bin" / "canary"), "--version"]

    version = subprocess.run(program, cwd=tmp_path, check=True, capture_output=True, text=True)

    assert f"found it in {tmp_path / 'hiding' / 'grafana'}; look at PYTHONPATH" in version.stderr


def test_a_sound_installation_says_nothing(installed: Path, tmp_path: Path) -> None:
    """No word on standard error, also when somebody left a file in one of the folders."""
    [packages] = (installed / "lib").glob("python*/site-packages")
    before = run(installed, "canary", "--version", cwd=tmp_path)
    (packages / "rules" / "notes.txt").touch()
    after = run(installed, "canary", "--version", cwd=tmp_path)
    (packages / "rules" / "notes.txt").unlink()

    assert (before.stderr, after.stderr) == ("", "")


def test_dependencies_have_bounds() -> None:
    """Whoever installs without our exact versions gets none that is older, or a major version newer, than was tried."""
    groups = [*PROJECT["project"]["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()]
    named = [*PROJECT["project"]["dependencies"], *(one for group in groups for one in group)]
    named = [one for one in named if isinstance(one, str) and not one.startswith("kpi-canary[")]

    assert len(named) > 20
    assert [one for one in named if not re.search(r">=.+,<|==", one)] == []


@pytest.mark.parametrize("name", ["dev", "demo", "run"])
def test_what_is_installed_is_exact_and_from_no_named_place(name: str) -> None:
    """Each requirement has one version and hashes; no line tells which registry to ask."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]

    assert [line for line in lines if not re.match(r"[\w.\-\[\]]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []
    assert "://" not in text
    assert '"resolved"' not in (ROOT / "package-lock.json").read_text(encoding="utf-8")


def test_what_is_installed_is_what_the_project_asks_for() -> None:
    """A dependency that pyproject.toml gained is in the exact list too (make requirements)."""
    listed = re.findall(r"^([\w.\-]+)==", (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8"), re.MULTILINE)
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["demo"]]
    asked += [one for one in PROJECT["dependency-groups"]["dev"] if isinstance(one, str)]
    names = {re.split(r"[\[><=]", one)[0].lower().replace("_", "-") for one in asked}

    assert names - {"kpi-canary"} <= set(listed)
