"""What clients of this process may hold at a time: connections, streams, and memory of bodies."""

from dataclasses import dataclass
from typing import Self

from parcela.core.open_files import open_files
from parcela.core.settings import Settings
from parcela.services.traffic.body_memory import BodyMemory
from parcela.services.traffic.connections import ConnectionLimits, ConnectionTable
from parcela.services.traffic.pace import Pace
from parcela.services.traffic.streams import StreamLimits, StreamPlaces


@dataclass(frozen=True)
class Traffic:
    """Built once by a composition root."""

    connections: ConnectionTable
    streams: StreamPlaces
    bodies: BodyMemory
    pace: Pace

    @classmethod
    def build(cls, settings: Settings) -> Self:
        """Wire it, for as many open files as this process may have now."""
        limits = ConnectionLimits.of(settings, open_files())
        return cls(
            connections=ConnectionTable(limits),
            streams=StreamPlaces(StreamLimits.of(settings, limits.total)),
            bodies=BodyMemory(settings.max_unfinished_body_bytes),
            pace=Pace.of(settings),
        )
