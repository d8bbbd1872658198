"""The word ``status`` of ``vms``: what is told of a VM, and what is wanted by one that is sent."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from parcela.api.compat.siglab.words import plain
from parcela.core.lifecycle import Action, DesiredState, VmState

RUNNING, STOPPED, PAUSED = DesiredState.RUNNING, DesiredState.STOPPED, DesiredState.PAUSED
WISHES: Mapping[str, DesiredState | None] = {
    **dict.fromkeys(("running", "starting", "started", "active", "on", "up"), RUNNING),
    **dict.fromkeys(("encendida", "encendido", "activa", "activo", "iniciada", "en ejecucion", "corriendo"), RUNNING),
    **dict.fromkeys(("stopped", "stopping", "defined", "inactive", "off", "down"), STOPPED),
    **dict.fromkeys(("apagada", "apagado", "detenida", "detenido", "inactiva", "inactivo", "parada"), STOPPED),
    **dict.fromkeys(("paused", "suspended", "pausada", "pausado", "suspendida", "suspendido"), PAUSED),
    **dict.fromkeys(("error", "deleting", "deleted"), None),
}
"""What somebody wants who sends a word; None: nothing, they have read it."""
_TOLD: Mapping[VmState, str] = {VmState.DEFINED: STOPPED.value, VmState.STARTING: RUNNING.value}
_ACTIONS: Mapping[tuple[str, DesiredState], Action] = {
    (PAUSED.value, RUNNING): Action.RESUME,
    (RUNNING.value, PAUSED): Action.SUSPEND,
    (STOPPED.value, PAUSED): Action.SUSPEND,  # refused by the service, with the reason
    (STOPPED.value, RUNNING): Action.START,
    (VmState.ERROR.value, RUNNING): Action.START,
    (RUNNING.value, STOPPED): Action.STOP,
    (PAUSED.value, STOPPED): Action.STOP,
    (VmState.ERROR.value, STOPPED): Action.STOP,
}


def status_of(row: Mapping[str, Any]) -> str:
    """The status of a VM: running, stopped, paused, error, deleting or deleted.

    While an operation brings it where its owner wants it, it is told to be there, as in the original, whose VMs were
    rows: a word that was sent comes back at once, and what is sent back as it was read changes nothing.
    """
    state, desired = VmState(row["state"]), DesiredState(row["desired"])
    if desired is DesiredState.DELETED:
        return (VmState.DELETED if state is VmState.DELETED else VmState.DELETING).value
    if row["operation_id"] is not None and desired in {RUNNING, STOPPED, PAUSED}:
        return desired.value
    if state is VmState.STOPPING:
        return desired.value
    return _TOLD.get(state, state.value)


def action_for(row: Mapping[str, Any], wish: DesiredState | None) -> Action | None:
    """What brings a VM where somebody wants it; None when it is there, or on its way."""
    told = status_of(row)
    return None if wish is None or told == wish.value else _ACTIONS.get((told, wish))


def wish_of(text: str) -> DesiredState | None:
    """What somebody wants who sends this word; case and accents do not count.

    Raises:
        PydanticCustomError: nobody knows the word.
    """
    word = plain(text)
    if word not in WISHES:
        raise PydanticCustomError("status", "The status is running, stopped or paused.")
    return WISHES[word]
