#!/opt/mongo/bin/python
"""The one command that the compose file gives to ``mongosh``."""

import sys

from pymongo import MongoClient

if sys.argv[1:] != ["--quiet", "--eval", "db.runCommand({ping: 1}).ok"]:
    sys.exit(f"this stand-in does not know {sys.argv[1:]}")
MongoClient("127.0.0.1", directConnection=True, serverSelectionTimeoutMS=5000).admin.command("ping")
