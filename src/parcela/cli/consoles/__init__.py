"""Consoles at a terminal, in a script, or through a local port."""
