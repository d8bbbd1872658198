"""Wake-up calls between services and workers. Losing one is harmless: timers find the same work."""

from collections.abc import Callable


class Signal:
    """Calls whoever is connected; nobody is fine."""

    def __init__(self) -> None:
        """Begin without listeners."""
        self._listeners: list[Callable[[int], None]] = []

    def connect(self, listener: Callable[[int], None]) -> None:
        """Call ``listener`` with the id of every signal from now on."""
        self._listeners.append(listener)

    def send(self, row_id: int) -> None:
        """Tell everybody."""
        for listener in self._listeners:
            listener(row_id)
