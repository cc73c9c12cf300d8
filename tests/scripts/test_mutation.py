"""The mutation run knows what to change, and reads what became of it."""

from scripts.mutation import _ROOT, MODULES, _outcomes


def test_every_module_and_its_tests_are_there() -> None:
    """A module that was moved is changed where it is now, or the run says nothing."""
    named = [path for module, tests in MODULES.items() for path in (module, *tests)]
    assert [path for path in named if not (_ROOT / path).exists()] == []


def test_outcomes_are_read() -> None:
    """One line for each change; the rest of what mutmut prints is passed over."""
    text = "some words: here\n    canary.rollout.folding.x_fold__mutmut_1: killed\n    a.b__mutmut_2: no tests\n"
    assert dict(_outcomes(text)) == {"canary.rollout.folding.x_fold__mutmut_1": "killed", "a.b__mutmut_2": "no tests"}
