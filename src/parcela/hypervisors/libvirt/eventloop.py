"""libvirt's default event loop in one daemon thread per process.

Not ``libvirtaio``: it can be registered once per process for one asyncio loop only, so that a second ``asyncio.run``
(tests, a restarted worker) fails. This thread outlives any number of loops; callbacks hand over to theirs with
``call_soon_threadsafe``.
"""

import contextlib
import threading

import libvirt

_lock = threading.Lock()
_started = threading.Event()


def ensure_event_loop() -> None:
    """Start the thread; must be called before the first connection is opened. Later calls do nothing."""
    with _lock:
        if _started.is_set():
            return
        # Without a handler libvirt prints every error to standard error, also those we expect and translate.
        libvirt.registerErrorHandler(_ignore, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run, name="libvirt-events", daemon=True).start()
        _started.set()


def _ignore(_context: object, _error: object) -> None:
    """Drop libvirt's own report: the same error is raised as libvirtError."""


def _run() -> None:
    while True:
        # One failing poll must not end the events of the whole process.
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()
