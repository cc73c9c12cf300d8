"""One module's changes, each against the tests that come by the changed function; run in a scratch copy of the tree.

mutmut makes the changes and writes them all into the module, where a variable of the environment says which one is in
force. Its own way of running tests starts pytest anew for each change, and reading the tests takes longer than running
them. So pytest runs once here: it reads the tests, runs them without a change to see which function each comes by, and
is forked for each change. Of the tests in question the one that has noticed the last change of the same function goes
first, then the quickest.
"""

import gc
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import cast

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings
from mutmut.mutation import trampoline
from mutmut.mutation.file_mutation import mutate_file_contents

# A change may make a test wait for ever. Measured by the clock, like the tests' own time: another program's load slows
# both, and tests are given many times as long as they took.
_LONGEST_SECONDS, _LONGEST_RATIO = 20.0, 20.0
_LOOK_SECONDS = 0.005


class Changes:
    """What pytest does in place of running each test once."""

    def __init__(self, changes: Sequence[str], results: Path) -> None:
        self._changes = changes
        self._results = results
        self._passing_by = defaultdict[str, list[pytest.Item]](list)
        self._seconds: dict[str, float] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """The tests as they are, then each change."""
        # What fails need not be made small for anybody to read.
        settings.register_profile("changed", deadline=None, phases=(Phase.explicit, Phase.generate))
        settings.load_profile("changed")
        self._unchanged(session)
        with self._results.open("w", encoding="utf-8") as file:
            for change in self._changes:
                function = change.rpartition("__mutmut_")[0]
                file.write(json.dumps([change, self._forked(change, self._passing_by[function])]) + "\n")
                file.flush()
        return True

    def _unchanged(self, session: pytest.Session) -> None:
        """Run each test once, to see which functions it comes by and how long it takes."""
        hits = set[str]()
        trampoline.record_trampoline_hit = lambda name, caller=None: hits.add(name)  # type: ignore[attr-defined]  # noqa: ARG005
        trampoline.set_mutant_under_test("stats")
        for item in session.items:
            hits.clear()
            began = time.monotonic()
            if not _passes(item):
                raise pytest.UsageError(f"{item.nodeid} fails without a change")
            self._seconds[item.nodeid] = time.monotonic() - began
            for function in hits:
                self._passing_by[function].append(item)
        trampoline.set_mutant_under_test("")
        gc.freeze()  # what is collected in a fork is copied first
        for items in self._passing_by.values():
            items.sort(key=lambda one: self._seconds[one.nodeid])

    def _forked(self, change: str, items: list[pytest.Item]) -> str:
        """What becomes of a change."""
        if not items:
            return "no tests"
        process = os.fork()
        if not process:
            _look(change, items)
        ends = time.monotonic() + _LONGEST_SECONDS + _LONGEST_RATIO * sum(self._seconds[one.nodeid] for one in items)
        while True:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > ends:
                os.killpg(process, 9)
                os.waitpid(process, 0)
                return "timeout"
            time.sleep(_LOOK_SECONDS)
        noticed_by = os.waitstatus_to_exitcode(status) - 1
        if noticed_by == -1:
            return "survived"
        if 0 <= noticed_by < len(items):
            items.insert(0, items.pop(noticed_by))
        return "killed"


def _look(change: str, items: Sequence[pytest.Item]) -> None:
    """In a process of its own: end with 0 when no test notices the change, else with the place of that test, from 1."""
    code = 255
    try:
        os.setpgid(0, 0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(nothing, stream)
        trampoline.set_mutant_under_test(change)
        code = next((min(place, 254) for place, item in enumerate(items, 1) if not _passes(item)), 0)
    finally:
        os._exit(code)


def _passes(item: pytest.Item) -> bool:
    # Whatever the next test is, fixtures of the session stay: a server that all changes' tests share is started once.
    following = cast("pytest.Item", item.session)
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=following))


def _wanted(names: Iterable[str], like: Sequence[str]) -> Iterator[str]:
    return (name for name in names if not like or any(fnmatch(name, one) for one in like))


def main(module: str, results: str, tests: str, like: str) -> int:
    """Make the changes in *module*, and write a line of JSON to *results* for what became of each."""
    path = Path(module)
    made = mutate_file_contents(module, path.read_text(encoding="utf-8"))
    path.write_text(made.code, encoding="utf-8")
    place = module.removesuffix(".py").replace("/", ".")
    names = list(_wanted((f"{place}.{name}" for name in made.mutant_names), json.loads(like)))
    arguments = ["-q", "-p", "no:xdist", "--capture=sys", *json.loads(tests)]
    return int(pytest.main(arguments, plugins=[Changes(names, Path(results))]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
