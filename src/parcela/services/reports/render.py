"""The rendering process: ``python -m parcela.services.reports.render FORMAT``, a report in (JSON), a file out.

A process of its own because matplotlib and typst are large, slow to import and busy for seconds: here they can take
neither the server's memory nor its event loop with them. It limits itself before it imports them.
"""

import importlib
import resource
import sys

from pydantic import TypeAdapter

from parcela.core.disks import FULL
from parcela.services.reports.report import Format, Report

WRITERS = {
    Format.CSV: "parcela.services.reports.write_csv",
    Format.XLSX: "parcela.services.reports.write_xlsx",
    Format.PDF: "parcela.services.reports.write_pdf",
}
MAX_MEMORY_BYTES = 2 * 1024**3
"""Address space, of which typst and numpy reserve more than they use."""
OUT_OF_MEMORY = 70
"""Exit code when the limit was met."""
OUT_OF_DISK = 71
"""Exit code when the file could not be written, because the disk is full."""


def main(arguments: list[str]) -> int:
    """Write one file to stdout."""
    form, cpu_s = Format(arguments[0]), int(arguments[1])
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        report = TypeAdapter(Report).validate_json(sys.stdin.buffer.read())
        # Which of the large libraries is imported depends on the format.
        made: bytes = importlib.import_module(WRITERS[form]).write(report)
        sys.stdout.buffer.write(made)
        sys.stdout.buffer.flush()
    except MemoryError:
        return OUT_OF_MEMORY
    except OSError as error:
        if error.errno not in FULL:
            raise
        return OUT_OF_DISK
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
