"""What the reader of `nginx -T` finds, on pieces of configuration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.policy.release import NginxRouter
from canary.routers import nginx_config, nginx_dump

GENERATED = f"user www-data;\nhttp {{\n{nginx_config.render(NginxRouter(kind='nginx'))}\n}}"
DIRECTORIES = ("/run/kpi-canary/nginx",)


def problems(dump: str) -> list[str]:
    """Only the problems, without the remedies."""
    return [problem for problem, _ in nginx_dump.problems(dump, DIRECTORIES)]


def test_the_generated_configuration_has_no_problem() -> None:
    """What we write is what we ask for."""
    assert problems(GENERATED) == []


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
def test_each_way_to_defeat_the_markers_is_found(old: str, new: str, problem: str) -> None:
    """Each change that would defeat a switch is found, and nothing else."""
    assert old in GENERATED

    found = problems(GENERATED.replace(old, new))

    assert len(found) == 1
    assert found[0].startswith(problem)


def test_the_innermost_setting_counts() -> None:
    """A cache at http level does not matter where the server switches it off, and does where it is silent."""
    outer = GENERATED.replace("http {", "http {\nopen_file_cache max=5;", 1)

    assert problems(outer) == []
    assert len(problems(outer.replace("open_file_cache off;", ""))) == 1


def test_comments_and_quotes_are_read_as_nginx_does() -> None:
    """Braces and semicolons in comments and quoted texts do not open, close or end anything."""
    tree = nginx_dump.parse("""
        # if (-f /x) { ; }
        user web; log_format main '$remote_addr "{;}" # not a comment';
        events { } http { server { listen 80; } }
    """)

    assert [directive.name for directive in tree.block] == ["user", "log_format", "events", "http"]
    assert tree.block[1].words[2] == '$remote_addr "{;}" # not a comment'


def test_the_workers_user_is_read() -> None:
    """The user that must be able to look at the markers is the configuration's."""
    assert nginx_dump.worker(GENERATED) == "www-data"
    assert nginx_dump.worker("events { }") is None


def test_included_files_stand_in_their_place() -> None:
    """`nginx -T` prints included files apart; what they say counts where they are included."""
    dump = (
        "# configuration file /etc/nginx/nginx.conf:\nhttp {\nopen_file_cache max=5;\ninclude conf.d/*.conf;\n}\n\n"
        "# configuration file /etc/nginx/conf.d/shop.conf:\nserver { include /etc/nginx/more; }\n\n"
        "# configuration file /etc/nginx/more:\nif (-f /run/kpi-canary/nginx/active/$canary_marker) { set $v new; }"
    )
    http = nginx_dump.parse(dump).block[0]

    assert [directive.name for directive in http.walk()] == ["http", "open_file_cache", "server", "if", "set"]
    assert problems(dump)[0].startswith("`open_file_cache max=5`")


@given(
    pieces=st.lists(st.sampled_from(['"', "'", "{", "}", ";", "\n", "#", "\\", " ", "$", "if", "set", "upstream", "a"]))
)
def test_no_text_breaks_the_reader(pieces: list[str]) -> None:
    """Whatever a module of others prints, the check says something and does not fail."""
    text = f"{' '.join(pieces)} if (-f /run/kpi-canary/nginx/active/$b) {{ {''.join(pieces)} }} {''.join(pieces)}"

    assert all(isinstance(problem, str) for problem in problems(text))
