"""What in nginx' configuration would defeat the marker files, for `canary check`, a drill and the start of a rollout.

The markers work only under a configuration that looks at them at every request. What has to be known: which `if` tests
them, what is in force there (a cache of open files goes on to see a removed marker: with `open_file_cache_valid 5s` the
canary was still chosen 3.6 s after the rollback, and the default is 60 s), whether the upstreams exist (nginx finds out
only when a request fails), and whether the buckets are ours.

nginx is asked first, by `nginx -T`: it knows best which file is its main one and whether it accepts what is there. But
`nginx -T` opens logs, certificates and the PID file, which only root may, and the receiver need not be root. So the
files themselves are read as well, by crossplane, nginx' own parser: they are nearly always readable for everybody. What
cannot be read is a warning with file and line, and everything found in the rest is no more than a warning then, because
the missing file may say otherwise. (The alternative, taking apart what `nginx -T` prints, knew neither lines nor how
nginx reads quotes, and had nothing for a user without rights.)

crossplane is told not to check arguments and contexts: its tables are older than the modules and versions in use, and
nginx itself has checked them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import crossplane

from canary.errors import Fault
from canary.routers.bucket import NGINX_BUCKETS, NGINX_PREFIX

DEFAULT_MAIN_FILE = "/etc/nginx/nginx.conf"
"""Where Debian, Red Hat and nginx.org's packages have it; asked for when neither the policy nor nginx says where."""

_PRINTED_NAME = re.compile(r"^# configuration file (.+):$", re.MULTILINE)

_UNREADABLE_REMEDY = "run `canary check` on nginx' host as a user who may read it"


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive: its name, its arguments without quotes, the block it opens, and the directive around it."""

    name: str
    arguments: tuple[str, ...] = ()
    place: str = ""
    parent: "Directive | None" = None
    block: list["Directive"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The directive as a person would write it, without its block."""
        return " ".join((self.name, *self.arguments))

    def argument(self, index: int) -> str:
        """One argument, or nothing: modules of others may use our names with fewer arguments."""
        return self.arguments[index] if index < len(self.arguments) else ""

    def walk(self) -> Iterator["Directive"]:
        """This directive and all below it."""
        yield self
        for child in self.block:
            yield from child.walk()

    def nearest(self, name: str) -> "Directive | None":
        """The directive *name* in the closest block around this one: what nginx applies here."""
        around = self.parent
        while around is not None:
            for sibling in around.block:
                if sibling.name == name:
                    return sibling
            around = around.parent
        return None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration as it was read.

    Attributes:
        file: the main file.
        root: a nameless directive around the main file's; what is included stands where it is included.
        unread: what could not be read, and so may say anything.
    """

    file: str
    root: Directive
    unread: tuple[Fault, ...] = ()

    @property
    def user(self) -> str | None:
        """The user that nginx' workers run as, where the configuration names one."""
        return next((directive.argument(0) for directive in self.root.block if directive.name == "user"), None)


def main_file(printed: str) -> str | None:
    """The main configuration file that `nginx -T` names first in what it printed."""
    found = _PRINTED_NAME.search(printed)
    return found[1] if found else None


def load(file: str) -> Loaded:
    """Read nginx' main configuration *file* and all that it includes. Never raises for what the files hold."""
    try:
        payload = crossplane.parse(file, onerror=_reason, combine=True, check_ctx=False, check_args=False)
    except RecursionError:
        return Loaded(file, Directive(""), (Fault(file, "includes itself", "remove the circle of `include`"),))
    root = Directive("")
    _attach(root, payload["config"][0]["parsed"])
    return Loaded(file, root, tuple(_fault(error) for error in payload["errors"]))


def problems(loaded: Loaded, directories: Sequence[str]) -> list[Fault]:
    """What defeats the markers below any of the *directories*."""
    root = loaded.root
    tests = [
        directive
        for directive in root.walk()
        if directive.name == "if" and any(f"{directory}/active/$" in directive.text for directory in directories)
    ]
    if not tests:
        return [
            Fault(
                loaded.file,
                f"nothing tests the markers: expected `if (-f {directories[0]}/active/$…)`",
                "include the generated canary.conf at http level, or name the file that nginx runs with as "
                "`router.configuration`",
            )
        ]
    return [
        *(problem for test in tests for problem in _switches(test)),
        *(problem for test in tests for problem in _variants(root, test)),
        *_buckets(loaded),
    ]


def _reason(error: Exception) -> str:
    """What the file system or crossplane says; where it is wrong, crossplane tells apart from the error."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    # What crossplane does not foresee, such as a file that ends within a directive, it raises as it comes.
    return str(getattr(error, "strerror", "not written as nginx' configuration is"))


def _fault(error: Mapping[str, Any]) -> Fault:
    line = error["line"] or 0
    return Fault(
        f"{error['file']}:{line}" if line else error["file"],
        f"cannot be read ({error['callback']})",
        _UNREADABLE_REMEDY,
        line,
    )


def _attach(parent: Directive, statements: Iterable[Mapping[str, Any]]) -> None:
    for statement in statements:
        if "comment" in statement:  # one that stood among a directive's arguments; crossplane keeps it as a statement
            continue
        place = f"{statement['file']}:{statement['line']}"
        directive = Directive(statement["directive"], tuple(statement["args"]), place, parent)
        parent.block.append(directive)
        _attach(directive, statement.get("block", ()))


def _switches(test: Directive) -> Iterable[Fault]:
    for name, harm in (
        ("open_file_cache", "a removed marker goes on to count for as long as it is cached"),
        ("disable_symlinks", "nginx does not follow `active`, so that nobody reaches the canary"),
    ):
        found = test.nearest(name)
        if found is not None and found.arguments != ("off",):
            yield Fault(
                found.place,
                f"`{found.text}` is in force where the markers are tested: {harm}",
                f"write `{name} off;` in the block that tests them ({test.place})",
            )


def _variants(root: Directive, test: Directive) -> Iterable[Fault]:
    server = test.parent or root
    upstreams = {directive.argument(0) for directive in root.walk() if directive.name == "upstream"}
    passed = {word for directive in server.walk() if directive.name == "proxy_pass" for word in directive.arguments}
    for setting in server.walk():
        if setting.name != "set" or f"http://{setting.argument(0)}" not in passed:
            continue
        if (variant := setting.argument(1)) not in upstreams:
            yield Fault(
                setting.place,
                f"`{setting.text}` names no upstream; nginx finds out only when a request fails",
                f"write `upstream {variant} {{ … }}`",
            )


def _buckets(loaded: Loaded) -> Iterable[Fault]:
    wanted = [("1%", (f"{bucket:02d}",)) for bucket in range(NGINX_BUCKETS - 1)] + [("*", (str(NGINX_BUCKETS - 1),))]
    splits = [
        directive
        for directive in loaded.root.walk()
        if directive.name == "split_clients" and directive.argument(0).startswith(NGINX_PREFIX)
    ]
    if len(splits) != 1 or [(part.name, part.arguments) for part in splits[0].block] != wanted:
        yield Fault(
            splits[0].place if splits else loaded.file,
            f'expected one `split_clients "{NGINX_PREFIX}…"` with the buckets 00 to 99 of 1% each, found '
            f"{'other buckets' if len(splits) == 1 else len(splits)}",
            "use the one of the generated canary.conf: otherwise the weight is not the one that was asked for",
        )
