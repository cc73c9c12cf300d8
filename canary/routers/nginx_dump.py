"""What in nginx' own words (`nginx -T`) would defeat the marker files."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from canary.routers.bucket import NGINX_BUCKETS, NGINX_PREFIX

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{};]|(?:\$\{\w+\}|\\.|[^\s{};"'#\\])[^\s{};]*""")

# `nginx -T` prints the main file first, then each included file once.
_FILE = re.compile(r"^# configuration file ([^\n]+):\n(.*?)(?=^# configuration file |\Z)", re.DOTALL | re.MULTILINE)


@dataclass
class Directive:
    """One directive: its words, the block it opens, and the directive around it."""

    words: list[str]
    parent: "Directive | None" = None
    block: list["Directive"] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The first word."""
        return self.word(0)

    def word(self, index: int) -> str:
        """One word, or nothing: modules of others may use our names with fewer words."""
        return self.words[index] if index < len(self.words) else ""

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


def parse(dump: str) -> Directive:
    """The tree of directives in nginx' configuration, below one nameless root; included files stand in their place."""
    files = {file[1]: file[2] for file in _FILE.finditer(dump)} or {"nginx.conf": dump}
    main = next(iter(files))
    root = Directive([])
    _read(files[main], root, files, PurePosixPath(main).parent)
    return root


def _read(text: str, into: Directive, files: Mapping[str, str], folder: PurePosixPath) -> None:
    here, words = into, list[str]()
    for match in _TOKEN.finditer(text):
        piece = match[0]
        if piece.startswith("#"):
            continue
        if piece == ";" and words[:1] == ["include"]:
            pattern = str(folder / "".join(words[1:2]))
            for name in files:
                if fnmatch.fnmatchcase(name, pattern):
                    _read(files[name], here, files, folder)
            words = []
        elif piece in ("{", ";"):
            directive = Directive(words, parent=here)
            here.block.append(directive)
            here, words = (directive if piece == "{" else here), []
        elif piece == "}":
            here = here.parent or into
        else:
            words.append(piece.strip("\"'"))


def worker(dump: str) -> str | None:
    """The user that nginx' workers run as, where the configuration names one."""
    return next((directive.word(1) for directive in parse(dump).block if directive.name == "user"), None)


def problems(dump: str, directories: Sequence[str]) -> list[tuple[str, str]]:
    """Problems and remedies for the configuration that looks at any of the marker *directories*."""
    root = parse(dump)
    tests = [
        directive
        for directive in root.walk()
        if directive.name == "if"
        and any(f"{directory}/active/$" in " ".join(directive.words) for directory in directories)
    ]
    if not tests:
        return [
            (
                f"nothing tests the markers: expected `if (-f {directories[0]}/active/$…)`",
                "include the generated canary.conf at http level",
            )
        ]
    return [
        *(problem for test in tests for problem in _switches(test)),
        *(problem for test in tests for problem in _variants(root, test)),
        *_buckets(root),
    ]


def _switches(test: Directive) -> Iterable[tuple[str, str]]:
    for name, harm in (
        ("open_file_cache", "a removed marker goes on to count for as long as it is cached"),
        ("disable_symlinks", "nginx does not follow `active`, so that nobody reaches the canary"),
    ):
        found = test.nearest(name)
        if found is not None and found.words[1:] != ["off"]:
            yield (
                f"`{' '.join(found.words)}` is in force where the markers are tested: {harm}",
                f"write `{name} off;` there",
            )


def _variants(root: Directive, test: Directive) -> Iterable[tuple[str, str]]:
    server = test.parent or root
    upstreams = {directive.word(1) for directive in root.walk() if directive.name == "upstream"}
    passed = {word for directive in server.walk() if directive.name == "proxy_pass" for word in directive.words[1:]}
    for setting in server.walk():
        if setting.name != "set" or f"http://{setting.word(1)}" not in passed:
            continue
        if (variant := setting.word(2)) not in upstreams:
            yield (
                f"`{' '.join(setting.words)}` names no upstream; nginx finds out only when a request fails",
                f"write `upstream {variant} {{ … }}`",
            )


def _buckets(root: Directive) -> Iterable[tuple[str, str]]:
    wanted = [["1%", f"{bucket:02d}"] for bucket in range(NGINX_BUCKETS - 1)] + [["*", str(NGINX_BUCKETS - 1)]]
    splits = [
        directive
        for directive in root.walk()
        if directive.name == "split_clients" and directive.word(1).startswith(NGINX_PREFIX)
    ]
    if len(splits) != 1 or [part.words for part in splits[0].block] != wanted:
        yield (
            f'expected one `split_clients "{NGINX_PREFIX}…"` with the buckets 00 to 99 of 1% each, found {len(splits)}',
            "use the one of the generated canary.conf: otherwise the share is not the one that was asked for",
        )
