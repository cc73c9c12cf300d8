"""`python -m scripts.compat FOLDER`: run what the programs in a folder allow, and renew the page."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from canary.errors import ProcessError
from canary.timing.clock import SystemClock
from scripts import golden
from scripts.compat.exercises import EXERCISES, Exercise, first_on_path
from scripts.compat.page import Row, page, rows
from scripts.compat.programs import BY_NAME, inside, used

_PAGE = golden.ROOT / "docs" / "compatibility.md"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", default="", help="Run only what has these words in its name, or judges this program.")
def main(folder: Path, only: str) -> None:
    """Run every exercise that is about a program in FOLDER; the exit status is 1 when one fails or cannot run."""
    first_on_path(folder)
    try:
        there = inside(folder)
    except ProcessError as error:
        raise click.ClickException(str(error)) from error
    if not there:
        raise click.ClickException(f"{folder}: none of {', '.join(BY_NAME)} lies there")
    wanted = [one for one in EXERCISES if set(one.judges) & set(there) and (only in one.what or only in one.judges)]
    if not wanted:
        raise click.ClickException(f"of the programs in {folder}, {only!r} is about none")
    results: list[Row] = []
    lacking = False
    for exercise in wanted:
        try:
            results += _tried(exercise, there)
        except ProcessError as error:
            sys.stderr.write(f"  cannot be run: {error}\n")
            lacking = True
            continue
        # After each: what takes long may be interrupted, and what went before has been seen.
        _PAGE.write_text(page(rows(_text()), results), encoding="utf-8")
    sys.exit(lacking or any(row.result != "passed" for row in results))


def _text() -> str:
    return _PAGE.read_text(encoding="utf-8") if _PAGE.exists() else ""


def _tried(exercise: Exercise, there: dict[str, str]) -> Iterator[Row]:
    """A line for each program that the exercise judges and the folder has, with those that took part."""
    sys.stderr.write(f"{exercise.what}: {', '.join((*exercise.judges, *exercise.alongside))}\n")
    taking_part = {name: used(name) for name in (*exercise.judges, *exercise.alongside)}
    result = exercise.run().replace("|", "/").replace("\n", " ")
    sys.stderr.write(f"  {result}\n")
    for name in exercise.judges:
        if name in there:
            others = [told for other, told in taking_part.items() if other != name]
            what = f"{exercise.what}, with {', '.join(others)}" if others else exercise.what
            yield Row(BY_NAME[name].title, there[name], what, f"{SystemClock().now():%Y-%m-%d}", result)


if __name__ == "__main__":
    main()
