"""What decides, and the tests that must notice changes in it."""

_ROLLOUT, _TESTS = "canary/rollout", "tests/canary/rollout"
_RECEIVER, _RECEIVER_TESTS = "alertmanager/receiver", "tests/alertmanager/receiver"

# Where a part of what a module does has a test file of its own, or is shown by the tests of those who use it.
_ALSO = {
    "alerthandler": (f"{_RECEIVER_TESTS}/decide/alerts/test_keys.py",),
    "alertpoller": tuple(
        f"{_RECEIVER_TESTS}/decide/alerts/test_{noun}.py" for noun in ("silencedalerts", "holds", "answers", "history")
    ),
    "deadlines": (f"{_RECEIVER_TESTS}/decide/test_dryrun.py",),
    "effects": (f"{_RECEIVER_TESTS}/act", f"{_RECEIVER_TESTS}/decide/test_commands.py"),
    # What two receivers make of it takes minutes, and is in `test_pair`.
    "postgres": (f"{_RECEIVER_TESTS}/lead/test_pooler.py",),
    "reconciler": tuple(
        f"{_RECEIVER_TESTS}/act/test_{noun}.py" for noun in ("obeying", "drain", "workers", "ending", "convergence")
    ),
    "routercontroller": tuple(
        f"{_RECEIVER_TESTS}/act/test_{noun}.py" for noun in ("raising", "lowering", "standby", "looks", "obeying")
    ),
}

MODULES: dict[str, tuple[str, ...]] = {
    # What an entry makes of a rollout is shown by the commands that write it.
    f"{_ROLLOUT}/state.py": (f"{_TESTS}/test_state.py", f"{_TESTS}/test_folding.py", f"{_TESTS}/commands"),
    f"{_ROLLOUT}/folding.py": (f"{_TESTS}/test_folding.py", f"{_TESTS}/test_state.py", f"{_TESTS}/commands"),
    f"{_ROLLOUT}/commands/commands.py": (f"{_TESTS}/commands",),
    f"{_ROLLOUT}/journal/journal.py": (f"{_TESTS}/journal",),
    f"{_ROLLOUT}/store/store.py": (f"{_TESTS}/store",),
    f"{_ROLLOUT}/store/reader.py": (f"{_TESTS}/store",),
    f"{_ROLLOUT}/store/writer.py": (f"{_TESTS}/store",),
    **{
        f"{_RECEIVER}/{folder}/{name}.py": (f"{_RECEIVER_TESTS}/{folder}/test_{name}.py", *_ALSO.get(name, ()))
        for folder, names in {
            "decide/alerts": ("admission", "alerthandler", "alertpoller", "objections"),
            "decide": ("deadlines", "watchdog"),
            "decide/promotion": ("promoter", "phasetimer", "waiting", "outlook"),
            "act": ("reconciler", "routercontroller", "permission", "effects", "drain"),
            "lead": ("leader", "postgres"),
        }.items()
        for name in names
    },
    "exporter/judge/blindness.py": ("tests/exporter/judge/test_blindness.py",),
}
"""What decides, and the tests that must notice."""
