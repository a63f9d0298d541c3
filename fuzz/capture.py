"""Records what real RTMP programs say to a server, both ways, as seeds for the fuzz targets.

A relay between the program and a server writes each direction to a file, cut off at a few KB:

    python3 fuzz/capture.py LISTEN_PORT SERVER_PORT NAME    # then point the program at LISTEN_PORT, once

The files in `captures/` were made so with ffmpeg 5.1 and 9.0, GStreamer 1.22 (rtmp2sink, rtmp2src) and OBS 29, against
nginx-rtmp 1.2.2.
"""

import selectors
import socket
import sys
from pathlib import Path

HANDSHAKE_BYTES = 1 + 2 * 1536
# Behind the handshake: commands, metadata, sequence headers and the first frames.
KEPT_BYTES = 12_000


def relay(client, server):
    """Copies bytes both ways until either side closes. Returns what each side said."""
    said = {client: bytearray(), server: bytearray()}
    to = {client: server, server: client}
    with selectors.DefaultSelector() as selector:
        for side in said:
            selector.register(side, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                try:
                    data = key.fileobj.recv(65536)
                    to[key.fileobj].sendall(data)
                except ConnectionError:
                    data = b""
                if not data:
                    return said[client], said[server]
                said[key.fileobj] += data


def main(listen_port, server_port, name):
    with socket.create_server(("127.0.0.1", listen_port)) as listener:
        client, _ = listener.accept()
        with client, socket.create_connection(("127.0.0.1", server_port)) as server:
            from_client, from_server = relay(client, server)
    folder = Path(__file__).parent / "captures"
    for role, said in (("client", from_client), ("server", from_server)):
        (folder / f"{name}.{role}").write_bytes(said[HANDSHAKE_BYTES : HANDSHAKE_BYTES + KEPT_BYTES])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
