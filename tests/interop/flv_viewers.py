"""Many HTTP-FLV viewers in one thread: each tag's time, size and arrival, and nothing else."""

import selectors
import socket
import threading
import time

VIDEO = 9


class Viewer:
    """One connection. `tags` holds (arrival, time in ms, is a keyframe) of each video tag."""

    def __init__(self, port, name, bytes_per_s=None):
        self.bytes_per_s = bytes_per_s
        self.socket = socket.socket()
        if bytes_per_s:  # a small window, or the kernels between would hide how slow it is
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(f"GET /flv/{name}.flv HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        self.socket.setblocking(False)
        self.buffer, self.body, self.tags, self.ended = bytearray(), False, [], False
        self.began, self.received = time.monotonic(), 0

    def budget(self, now):
        """How many bytes it may read by now."""
        return 65536 if self.bytes_per_s is None else int((now - self.began) * self.bytes_per_s) - self.received

    def read(self, now):
        allowed = self.budget(now)
        if allowed <= 0:
            return
        try:
            data = self.socket.recv(min(allowed, 65536))
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        self.ended |= not data
        self.received += len(data)
        self.buffer += data
        self.parse(now)

    def parse(self, now):
        if not self.body:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0 or len(self.buffer) < end + 4 + 13:
                return
            assert self.buffer.startswith(b"HTTP/1.1 200"), bytes(self.buffer[:40])
            del self.buffer[: end + 4 + 13]
            self.body = True
        while len(self.buffer) >= 16:
            size = int.from_bytes(self.buffer[1:4], "big")
            if len(self.buffer) < 11 + size + 4:
                return
            is_header = self.buffer[12] == 0  # a sequence header, not a picture
            if self.buffer[0] == VIDEO and not is_header:
                time_ms = int.from_bytes(self.buffer[4:7], "big") | self.buffer[7] << 24
                self.tags.append((now, time_ms, self.buffer[11] >> 4 == 1))
            del self.buffer[: 11 + size + 4]

    def delays_ms(self, since, until):
        """How much later than its own time each tag came, between two moments; only differences mean something."""
        return [1000 * arrival - time_ms for arrival, time_ms, _ in self.tags if since <= arrival < until]

    def lost(self):
        """How many pictures of a 30 fps stream are missing between the first and the last."""
        times = [time_ms for _, time_ms, _ in self.tags]
        return sum(round((b - a) / (1000 / 30)) - 1 for a, b in zip(times, times[1:]))


class Crowd(threading.Thread):
    """Reads for all of its viewers until stopped."""

    def __init__(self):
        super().__init__(daemon=True)
        self.viewers, self.selector, self.lock, self.stopped = [], selectors.DefaultSelector(), threading.Lock(), False

    def add(self, viewer):
        with self.lock:
            self.viewers.append(viewer)
            if viewer.bytes_per_s is None:
                self.selector.register(viewer.socket, selectors.EVENT_READ, viewer)
        return viewer

    def run(self):
        while not self.stopped:
            ready = self.selector.select(0.01)
            now = time.monotonic()
            with self.lock:
                slow = [viewer for viewer in self.viewers if viewer.bytes_per_s and not viewer.ended]
                for viewer in [key.data for key, _ in ready] + slow:
                    viewer.read(now)
                    if viewer.ended and viewer.bytes_per_s is None:
                        self.selector.unregister(viewer.socket)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.join()
        for viewer in self.viewers:
            viewer.socket.close()
