"""Consoles: tickets, the stream behind one, and who types when several look."""
