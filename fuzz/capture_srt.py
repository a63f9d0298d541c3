"""Records the datagrams of one SRT connection, both ways, as fixtures for cruvz-core and seeds for the fuzz targets.

    python3 fuzz/capture_srt.py LISTEN_PORT TARGET_PORT FILE [COUNT]    # then point a caller at LISTEN_PORT, once

Each line is `>` (from the caller) or `<` (from the listener) and a datagram in hex, the first COUNT (10) of them.
cruvz-core/tests/fixtures/srt/README.md says which programs the fixtures come from.
"""

import select
import socket
import sys
from pathlib import Path


def main(listen_port, target_port, file, count=10):
    near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    near.bind(("127.0.0.1", listen_port))
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.connect(("127.0.0.1", target_port))
    caller, lines = None, []
    while len(lines) < count:
        ready, _, _ = select.select([near, far], [], [], 10)
        if not ready:
            break
        for side in ready:
            if side is near:
                data, caller = near.recvfrom(2048)
                far.send(data)
            else:
                data = far.recv(2048)
                near.sendto(data, caller)
            lines.append(("> " if side is near else "< ") + data.hex())
    Path(file).write_text("\n".join(lines[:count]) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
