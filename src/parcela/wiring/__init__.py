"""Builds the objects of a process; nothing is patched afterwards."""
