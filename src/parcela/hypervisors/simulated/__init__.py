"""The simulated provider: everything in memory, with realistic delays, consoles and failure switches.

``SimulatedWorld`` is all hosts and what is on them. ``SimulatedDriver(world, host_name, installation)`` is the driver
of one host and keeps no truth: throw it away, kill its calls, make a new one, and the world is as it was.

    world = SimulatedWorld(delays=Delays.none())
    world.add_host("h1", vcpus=4, memory_mib=8192, disk_gib=100)
    driver = SimulatedDriver(world, "h1", "my-installation")

**Switches that act on calls** (``world.faults``). Each takes the method, ``nth`` call, how many ``times``, ``host``,
``vm`` (name or UUID) and the ``moment``: BEFORE any effect, in the MIDDLE, or AFTER all of them (only the answer is
lost). Calls of one effect have no middle of their own: there MIDDLE is just before the effect.

=====================================================================  ==============================================
``fail("start_vm", nth=2)``                                            the second start raises RetryableDriverError
``fail("create_vm", vm="web", failure=Failure.FATAL)``                 one creation of "web" raises FatalDriverError
``fail(host="h2", times=None, failure=Failure.UNREACHABLE)``           every call on h2 raises HostUnreachableError
``fail("create_vm", moment=Moment.MIDDLE)``                            overlay made, definition not: a partial VM
``fail("create_vm", moment=Moment.AFTER)``                             all done, and an error all the same
``gate = block("create_vm", moment=Moment.MIDDLE)``                    calls wait there; ``await gate.reached()``, then
                                                                       ``gate.release()``, or cancel the caller
``never_ready("web")``, ``ignore_power_button("web")``                 guests that hang in boot, or when asked to stop
``clear()``                                                            every switch back, held calls go on
=====================================================================  ==============================================

**Accidents** (methods of the world): ``disconnect_host``, ``reconnect_host``, ``crash_host``, ``crash_vm``,
``stop_vm``, ``pause_vm``, ``remove_vm``, ``remove_segment``, ``add_foreign_domain``, ``add_partial_vm``; full and
broken disks: ``fill_disk`` and ``free_disk`` of a host, ``break_disk`` and ``mend_disk`` of a VM.

**Evidence**: ``world.calls`` (method, host, uuid, VM name), ``world.count(Effect.OVERLAY_MADE, uuid)``,
``world.peak(host)`` (most vCPUs, MiB and GiB ever defined at one instant), ``world.where(uuid)``, ``world.vm(uuid)``,
``world.ping(uuid, address)``.

The world is changed from one event loop at a time; switches and accidents may be thrown from any thread.
"""

from parcela.hypervisors.simulated.driver import SimulatedDriver
from parcela.hypervisors.simulated.faults import Failure, Gate, Moment
from parcela.hypervisors.simulated.machine import Effect, HostSize, Usage
from parcela.hypervisors.simulated.timing import Delays
from parcela.hypervisors.simulated.world import SimulatedWorld

__all__ = [
    "Delays",
    "Effect",
    "Failure",
    "Gate",
    "HostSize",
    "Moment",
    "SimulatedDriver",
    "SimulatedWorld",
    "Usage",
]
