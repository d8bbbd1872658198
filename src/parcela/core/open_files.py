"""The limit of open files of this process: every connection, database file and console takes one."""

import resource

FEW = 4096
"""With fewer, hundreds of people are too many; most systems allow far more."""
WANTED = 65536
"""More is never of use here, and programs that we start may look at every possible number."""


def open_files() -> int:
    """How many files this process may have open."""
    return _known(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def hard_limit() -> int:
    """How many it may take, at most."""
    return _known(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _known(limit: int) -> int:
    return WANTED if limit == resource.RLIM_INFINITY else limit


def raise_open_files() -> int:
    """Take as many as an ordinary process may take without asking; how many these are.

    The soft limit of most systems is 1,024, for the sake of old programs that use ``select``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(hard_limit(), WANTED)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return open_files()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):
        return soft  # a sandbox forbids it; what there is has to do
    return most
