"""Finds files and functions that are too long to be read at one go, unless they say why.

A file of more than 300 lines, or a function of more than 40, mostly holds two things. Where it is one thing all the
same (a table that is searched and not read, a story whose steps share everything), a comment says so: `# long: REASON`,
for a function on the line of its `def`, for a file on a line of its own. Test files are not counted: each is a list of
promises about one module, and two lists for one module would be harder to find than a long one.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_MOST_FILE_LINES = 300
"""Some six screens; most files of the house have fewer than 150."""
_MOST_FUNCTION_LINES = 40
"""One screen."""
_REASON = re.compile(r"# long: \w")


def too_long(path: str, text: str) -> Iterator[str]:
    """What is longer than it may be in a Python file, and does not say why, as `path:line: ...`."""
    lines = text.splitlines()
    listed = Path(path).name.startswith("test_") or any(_REASON.match(line) for line in lines)
    if len(lines) > _MOST_FILE_LINES and not listed:
        yield f"{path}: {len(lines)} lines, expected at most {_MOST_FILE_LINES}"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        count = (node.end_lineno or node.lineno) - node.lineno + 1
        head = lines[node.lineno - 1 : node.body[0].lineno]
        if count > _MOST_FUNCTION_LINES and not any(_REASON.search(line) for line in head):
            what = f"{node.name} has {count} lines, expected at most {_MOST_FUNCTION_LINES}"
            yield f"{path}:{node.lineno}: {what}"


def main() -> int:
    """Exit status 1 when something is too long."""
    listed = subprocess.run(["git", "ls-files", "*.py"], capture_output=True, text=True, check=True)
    files = [path for path in listed.stdout.splitlines() if Path(path).exists()]
    found = [line for path in files for line in too_long(path, Path(path).read_text())]
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
