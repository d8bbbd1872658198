"""Lists that are asked for all the time, answered without FastAPI."""
