"""What is found in nginx' configuration, in files as nginx reads them; on a real nginx in test_nginx.py."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from canary.policy.routers.sections import NginxRouter
from canary.routers.nginx import check, config
from canary.routers.nginx.check import Loaded

GENERATED = config.render(NginxRouter(kind="nginx"))
WHOLE = f"user www-data;\nhttp {{\n{GENERATED}\n}}"
DIRECTORIES = ("/run/kpi-canary/nginx",)

Load = Callable[..., Loaded]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a main file, and more by their names, and reads them."""

    def written(main: str, **files: str) -> Loaded:
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        (tmp_path / "nginx.conf").write_text(main)
        return check.load(str(tmp_path / "nginx.conf"))

    return written


def problems(loaded: Loaded) -> list[str]:
    """Only what is wrong, without places and remedies."""
    return [problem.what for problem in check.problems(loaded, DIRECTORIES)]


def unread(loaded: Loaded, folder: Path) -> list[str]:
    """Place and reason of what could not be read, with names relative to *folder*."""
    return [f"{fault.place}: {fault.what}".replace(f"{folder}/", "") for fault in loaded.unread]


def test_the_generated_configuration_has_no_problem(load: Load) -> None:
    """What we write is what we ask for."""
    loaded = load(WHOLE)

    assert problems(loaded) == []
    assert loaded.unread == ()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("open_file_cache off;", "open_file_cache max=1000 inactive=20s;", "`open_file_cache max=1000 inactive=20s`"),
        ("disable_symlinks off;", "disable_symlinks on;", "`disable_symlinks on`"),
        ("upstream canary {", "upstream canarY {", "`set $canary_variant canary` names no upstream"),
        ("set $canary_variant stable;", "set $canary_variant old;", "`set $canary_variant old` names no upstream"),
        ("    1% 42;\n", "", 'expected one `split_clients "canary:'),
        ("1% 42;", "2% 42;", 'expected one `split_clients "canary:'),
        ("/run/kpi-canary/nginx/active/$", "/run/other/active/$", "nothing tests the markers"),
    ],
)
def test_each_way_to_defeat_the_markers_is_found(load: Load, old: str, new: str, problem: str) -> None:
    """Each change that would defeat a switch is found, and nothing else."""
    assert old in WHOLE

    found = problems(load(WHOLE.replace(old, new)))

    assert len(found) == 1
    assert found[0].startswith(problem)


def test_a_problem_has_file_and_line(load: Load, tmp_path: Path) -> None:
    """Where the directive stands is where the finding leads to, in an included file too."""
    loaded = load("http {\n  include cached;\n  include canary.conf;\n}", cached="# no\nopen_file_cache max=5;\n")
    assert unread(loaded, tmp_path) == ["nginx.conf:3: cannot be read (canary.conf: No such file or directory)"]

    silent = GENERATED.replace("open_file_cache off;", "")
    (tmp_path / "canary.conf").write_text(silent)
    [problem] = check.problems(check.load(str(tmp_path / "nginx.conf")), DIRECTORIES)

    tests_at = 1 + silent[: silent.index("if (-f")].count("\n")
    assert problem.place == f"{tmp_path}/cached:2"
    assert problem.remedy.endswith(f"({tmp_path}/canary.conf:{tests_at})")


def test_the_innermost_setting_counts(load: Load) -> None:
    """A cache at http level does not matter where the server switches it off, and does where it is silent."""
    outer = WHOLE.replace("http {", "http {\nopen_file_cache max=5;", 1)

    assert problems(load(outer)) == []
    assert len(problems(load(outer.replace("open_file_cache off;", "")))) == 1


def test_comments_and_quotes_are_read_as_nginx_does(load: Load) -> None:
    """Braces and semicolons in comments, quoted texts and Lua do not open, close or end anything."""
    tree = load("""
        # if (-f /x) { ; }
        user # whose
        web; log_format main '$remote_addr "{;}" # not a comment';
        events { } http { content_by_lua_block { if x then y = "}" end } server { listen 80; } }
    """).root

    assert [directive.name for directive in tree.block] == ["user", "log_format", "events", "http"]
    assert tree.block[1].arguments == ("main", '$remote_addr "{;}" # not a comment')
    assert [directive.name for directive in tree.block[3].block] == ["content_by_lua_block", "server"]


@pytest.mark.parametrize("test", ['if (-f "{}")', "if ( -f {} )", "if (-f '{}' )"])
def test_the_test_of_a_marker_is_known_however_it_is_written(load: Load, test: str) -> None:
    """Quotes and blanks around the path change nothing for nginx, and nothing here."""
    path = "/run/kpi-canary/nginx/active/$canary_marker"
    assert f"if (-f {path})" in WHOLE

    assert problems(load(WHOLE.replace(f"if (-f {path})", test.format(path)))) == []


def test_the_workers_user_is_read(load: Load) -> None:
    """The user that must be able to look at the markers is the configuration's."""
    assert load(WHOLE).user == "www-data"
    assert load("events { }").user is None


def test_included_files_stand_in_their_place(load: Load, tmp_path: Path) -> None:
    """What included files say counts where they are included, by a pattern or twice."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "shop.conf").write_text("server { include more; } server { include more; }")
    loaded = load(
        "http {\nopen_file_cache max=5;\ninclude conf.d/*.conf;\n}\n",
        more="if (-f /run/kpi-canary/nginx/active/$canary_marker) { set $v new; }",
    )

    assert [directive.name for directive in loaded.root.block[0].walk()] == [
        *("http", "open_file_cache"),
        *("server", "if", "set"),
        *("server", "if", "set"),
    ]
    assert problems(loaded)[0].startswith("`open_file_cache max=5`")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http { server {", 'odd:1: cannot be read (unexpected end of file, expecting "}")'),
        ("a;\n}", 'odd:2: cannot be read (unexpected "}")'),
        ("a b", "odd: cannot be read (not written as nginx' configuration is)"),
        ("include;", "odd: cannot be read (not written as nginx' configuration is)"),
        ("\n\ninclude gone;", "odd:3: cannot be read (gone: No such file or directory)"),
        ("include .;", "odd:1: cannot be read (.: Is a directory)"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(load: Load, tmp_path: Path, text: str, reason: str) -> None:
    """A file that is cut off, missing or none at all is named with its line; the rest is read all the same."""
    loaded = load("user web; include odd;", odd=text)

    assert unread(loaded, tmp_path) == [reason]
    assert loaded.user == "web"


def test_a_missing_right_is_reported(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that only root may read is named, with what the system says."""
    secret = tmp_path / "secret"
    opened = open

    def refuse(file: str, *arguments: object, **keys: object) -> object:
        if file == str(secret):
            raise PermissionError(13, "Permission denied", file)
        return opened(file, *arguments, **keys)  # type: ignore[call-overload]  # whatever crossplane asks for

    if os.geteuid() == 0:
        # root may read everything
        monkeypatch.setattr("builtins.open", refuse)
    loaded_file = "user web;\ninclude secret;"
    secret.write_text("a;")
    secret.chmod(0)

    assert unread(load(loaded_file), tmp_path) == ["nginx.conf:2: cannot be read (secret: Permission denied)"]


def test_a_circle_of_includes_ends(load: Load, tmp_path: Path) -> None:
    """Files that include each other are reported, not followed for ever."""
    assert unread(load("include more;", more="include nginx.conf;"), tmp_path) == ["nginx.conf: includes itself"]


def test_the_main_file_is_the_first_that_nginx_prints() -> None:
    """`nginx -T` names the main file before all others; without an answer there is none."""
    printed = "# configuration file /opt/web 1/nginx.conf:\nhttp { include more; }\n\n# configuration file /opt/more:\n"

    assert check.main_file(printed) == "/opt/web 1/nginx.conf"
    assert check.main_file("") is None


@settings(deadline=None)
@example(pieces=["upstream", "#", "\n", ";"])
@given(
    pieces=st.lists(st.sampled_from(['"', "'", "{", "}", ";", "\n", "#", "\\", " ", "$", "if", "set", "upstream", "a"]))
)
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    """Whatever a module of others reads there, the check says something and does not fail."""
    file = tmp_path_factory.getbasetemp() / "odd.conf"
    file.write_text(
        f"{' '.join(pieces)} if (-f /run/kpi-canary/nginx/active/$b) {{ {''.join(pieces)} }} {''.join(pieces)}"
    )

    assert all(isinstance(problem, str) for problem in problems(check.load(str(file))))
