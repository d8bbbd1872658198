"""The ``parcela`` command."""

from parcela.cli.app import main

__all__ = ["main"]
