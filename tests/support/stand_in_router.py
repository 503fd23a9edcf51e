"""A router that only answers its control socket: yes to everything, and what it was asked, for the lab's own tests."""

import argparse
import json
import socket
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--dir", type=Path, required=True)
parser.add_argument("--name", required=True)
parser.add_argument("--etcd")
parser.add_argument("--key")
parser.add_argument("--state")
options = parser.parse_args()
listener = socket.socket(socket.AF_UNIX)
listener.bind(str(options.dir / f"{options.name}.ctl"))
listener.listen()
print("ready", flush=True)
asked = []
while True:
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb") as lines:
        for line in lines:
            asked.append(json.loads(line))
            lines.write(json.dumps({"ok": True, "asked": asked}).encode() + b"\n")
            lines.flush()
