"""libsrt called directly, for what its programs do not say: the code with which a caller is refused."""

import ctypes
import socket
import struct

# Either flavour will do; ffmpeg brings the first, srt-live-transmit the second.
FLAVOURS = ["libsrt-gnutls.so.1.5", "libsrt.so.1.5"]
ACCEPTED = 0
# Options by their numbers in srt.h.
OPTIONS = {"passphrase": 26, "key_bytes": 27, "connect_timeout_ms": 36, "stream_id": 46, "congestion": 47, "message_api": 48,
           "transmission": 50, "filter": 60}
FILE = 1


def load():
    for name in FLAVOURS:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.srt_startup()
        library.srt_setloglevel(2)  # what cannot go on, not each refusal
        return library
    raise AssertionError(f"none of {', '.join(FLAVOURS)} is installed")


class Caller:
    """`with Caller(port, stream_id="read:live/cam") as caller:` whose `.code` is 0 when it was let in."""

    library = None

    def __init__(self, port, **options):
        Caller.library = Caller.library or load()
        self.socket = self.library.srt_create_socket()
        # What sets other options comes first.
        for name in sorted(options, key=lambda name: name != "transmission"):
            value = options[name]
            value = value.encode() if isinstance(value, str) else struct.pack("=i", value)
            status = self.library.srt_setsockflag(self.socket, OPTIONS[name], value, len(value))
            assert status == 0, f"libsrt does not take {name} = {options[name]}"
        address = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton("127.0.0.1"))
        refused = self.library.srt_connect(self.socket, address, len(address))
        self.code = self.library.srt_getrejectreason(self.socket) if refused else ACCEPTED

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.library.srt_close(self.socket)


def code(port, **options):
    """The code that a caller gets, who leaves again."""
    with Caller(port, **options) as caller:
        return caller.code
