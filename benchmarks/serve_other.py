"""Serve an application factory with the uvicorn settings of ``parcela serve``: FACTORY PORT."""

import sys

import uvicorn

if __name__ == "__main__":
    uvicorn.run(
        sys.argv[1],
        factory=True,
        host="127.0.0.1",
        port=int(sys.argv[2]),
        log_config=None,
        access_log=False,
        server_header=False,
    )
