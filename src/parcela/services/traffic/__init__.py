"""What clients of this process may hold at a time: connections, streams, memory of bodies."""
