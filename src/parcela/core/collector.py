"""Starting without the garbage collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collections() -> Iterator[None]:
    """Collect no garbage meanwhile.

    Importing makes some 320,000 objects that the collector knows, and nearly all stay. It looked at them again and
    again, which was about a quarter of the processor time of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def keep_what_is_there() -> None:
    """Let the collector work, but never look at what exists now: modules, routes and tables live as long as we do.

    A full collection, which stops everybody, then looks only at what requests made.
    """
    gc.freeze()
    gc.enable()
