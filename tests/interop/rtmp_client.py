"""Just enough of RTMP to be a bad client: the handshake, and whatever bytes come after it."""

import socket
import struct
import time

PACKET = 1536


def connect(port, timeout_s=5, source=None):
    """A TCP connection to the server."""
    return socket.create_connection(("127.0.0.1", port), timeout_s, source_address=source)


def shake_hands(peer):
    """The simple handshake, the client's side."""
    peer.sendall(b"\x03" + bytes(PACKET))
    answer = b""
    while len(answer) < 1 + 2 * PACKET:
        more = peer.recv(65536)
        if not more:
            raise ConnectionError("closed in the handshake")
        answer += more
    peer.sendall(answer[1 : 1 + PACKET])


def handshake_ms(port):
    """How long a new client's connection and handshake take."""
    began = time.monotonic()
    with connect(port) as peer:
        shake_hands(peer)
    return 1000 * (time.monotonic() - began)


def command(name, transaction, *values, stream_id=0):
    """An AMF0 command as one RTMP message, in chunks of 128 bytes."""
    body = b"".join(amf0(value) for value in (name, float(transaction), *values))
    head = bytes([3, 0, 0, 0]) + len(body).to_bytes(3, "big") + b"\x14" + stream_id.to_bytes(4, "little")
    pieces = [body[at : at + 128] for at in range(0, len(body), 128)]
    return head + b"\xc3".join(pieces)


def amf0(value):
    if value is None:
        return b"\x05"
    if isinstance(value, float):
        return b"\x00" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\x02" + struct.pack(">H", len(value)) + value.encode()
    pairs = (struct.pack(">H", len(key)) + key.encode() + amf0(item) for key, item in value.items())
    return b"\x03" + b"".join(pairs) + b"\0\0\x09"


def publish_attempt(port, app, name, timeout_s=5):
    """Asks to publish; returns the server's answers as bytes, and the connection still open."""
    peer = connect(port, timeout_s)
    shake_hands(peer)
    peer.sendall(command("connect", 1, {"app": app, "tcUrl": f"rtmp://127.0.0.1/{app}"}))
    peer.sendall(command("createStream", 2, None) + command("publish", 3, None, name, "live", stream_id=1))
    said = b""
    until = time.monotonic() + timeout_s
    while b"NetStream." not in said and b"_error" not in said and time.monotonic() < until:
        more = peer.recv(65536)
        if not more:
            break
        said += more
    return said, peer
