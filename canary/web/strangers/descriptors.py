"""How many files and connections this process may have open: as many as are useful, where the system allows it.

A shell gives its programs a thousand, although they may ask for more.
"""

import contextlib
import resource

# No program here needs more.
_WANTED = 8192


def raise_limit() -> int:
    """Raise the process's limit of open descriptors as far as is useful and allowed; gives what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = resource.RLIM_INFINITY
    wanted = _WANTED if hard == infinite else min(_WANTED, hard)
    if soft != infinite and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it; then less is allowed
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return _WANTED if soft == infinite else soft
