"""Bad clients by the thousand, beside a publisher and a viewer who must not notice."""

import random
import resource
import select
import socket
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flv_viewers import Crowd, Viewer
from matrix import cell
from media import FFMPEG, Run, clip, publish
from rtmp_client import connect, handshake_ms, publish_attempt, shake_hands
from server import Server, wait_for

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "fuzz"))
from seeds import seeds  # noqa: E402

HALF_OPEN = 5_000
MUTATIONS_PER_SEED = 12


class Neighbour:
    """A publisher and an HTTP-FLV viewer of its stream; `check` says what they lived through."""

    def __init__(self, server, crowd):
        self.server = server
        self.viewer = crowd.add(Viewer(server.http, "live/cam"))
        wait_for("the viewer's first picture", lambda: self.viewer.tags, 15)

    def check(self):
        before = len(self.viewer.tags)
        wait_for("further pictures", lambda: len(self.viewer.tags) > before + 15, 10)
        assert not self.viewer.ended, "the neighbour's viewer was ended"
        assert self.viewer.lost() == 0, f"the neighbour's viewer lost {self.viewer.lost()} pictures"
        return f"{len(self.viewer.tags)} pictures beside it, none lost"


@contextmanager
def neighbourhood(folder, config="", **options):
    """A server with one good stream and one good viewer."""
    with Server(folder, config, **options) as server, ExitStack() as stack:
        stack.enter_context(publish(folder, clip("h264-aac"), server.rtmp_url("live/cam"), loop=-1))
        server.wait_live("live/cam")
        yield server, Neighbour(server, stack.enter_context(Crowd()))


def mutations(data, randomness):
    """The bytes as they are, then with bits turned, bytes overwritten, pieces cut out and put in twice."""
    yield data
    for _ in range(MUTATIONS_PER_SEED):
        bad = bytearray(data)
        for _ in range(randomness.randint(1, 8)):
            at = randomness.randrange(len(bad))
            match randomness.randrange(4):
                case 0:
                    bad[at] ^= 1 << randomness.randrange(8)
                case 1:
                    bad[at] = randomness.choice([0, 0x7F, 0x80, 0xFF])
                case 2:
                    del bad[at : at + randomness.randint(1, 64)]
                case _:
                    bad[at:at] = bad[at : at + randomness.randint(1, 64)]
            if not bad:
                break
        yield bytes(bad)


def say(port, data):
    """Shakes hands, says it all, reads whatever comes back, and leaves."""
    try:
        with connect(port) as peer:
            shake_hands(peer)
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            while select.select([peer], [], [], 0.02)[0] and peer.recv(65536):
                pass
    except OSError:
        pass  # to be thrown out is a good answer


@cell("P2: every RTMP seed and mutations of it against the running server")
def replay(folder):
    randomness = random.Random(2026)
    with neighbourhood(folder) as (server, neighbour):
        count, slowest = 0, 0.0
        for target, _, data in seeds():
            if target != "rtmp_server":
                continue
            for bad in mutations(data[2:], randomness):
                say(server.rtmp, bad)
                count += 1
            slowest = max(slowest, handshake_ms(server.rtmp))
            server.assert_alive()
        assert slowest <= 250, f"a new client waited {slowest:.0f} ms"
        for bad in mutations(b"\x03" + bytes(3072), randomness):
            with connect(server.rtmp) as peer:
                peer.sendall(bad)
        return f"{count} sessions, a new client in at most {slowest:.0f} ms, {neighbour.check()}"


@cell("P12: publishers whose media is corrupt")
def corrupt(folder):
    """The bit stream filter turns bits in the coded frames only: the RTMP around them is sound."""
    with neighbourhood(folder) as (server, neighbour), ExitStack() as stack:
        for number, amount in enumerate([2000, 200, 20]):
            arguments = ["-re", "-i", clip("2mbit"), "-c", "copy", "-bsf", f"noise=amount={amount}", "-f", "flv",
                         server.rtmp_url(f"live/bad{number}")]
            stack.enter_context(Run(folder, f"bad{number}", arguments, FFMPEG))
            server.wait_live(f"live/bad{number}")
            server.get(f"/hls/live/bad{number}/index.m3u8", timeout_s=15)
        time.sleep(4)  # of corrupt frames through every packager
        sessions = [one for one in server.sessions() if one["role"] == "publish" and "bad" in one["stream"]]
        received = [session["frames"] for session in sessions]
        assert len(received) == 3 and min(received) > 50, f"frames of the corrupt streams: {received}"
        return f"{sum(received)} corrupt frames, {neighbour.check()}"


@cell(f"R1: {HALF_OPEN} half-open connections that say a byte now and then")
def slowloris(folder):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * HALF_OPEN), hard))
    with neighbourhood(folder) as (server, neighbour), ExitStack() as stack:
        idle = server.rss_mib()
        crowd = []
        for number in range(HALF_OPEN):
            try:
                peer = stack.enter_context(connect(server.rtmp if number % 2 else server.http, source=(f"127.0.1.{number % 200 + 1}", 0)))
                peer.send(b"\x03" if number % 2 else b"G")
                crowd.append(peer)
            except OSError:
                pass  # turned away
        rss = server.rss_mib()
        took = handshake_ms(server.rtmp)
        began = time.monotonic()
        assert server.get("/readyz")[0] == 200, "HTTP does not answer"
        http_ms = 1000 * (time.monotonic() - began)
        assert took <= 500 and http_ms <= 500, f"a good client waited {took:.0f} ms for RTMP, {http_ms:.0f} ms for HTTP"
        assert rss <= idle + 100, f"{rss - idle:.0f} MiB more"
        wait_for("the end of the half-open connections", lambda: not open_ones(crowd), 20)
        return (f"RTMP handshake {took:.0f} ms, HTTP {http_ms:.0f} ms, {rss - idle:+.1f} MiB, all ended after "
                f"{time.monotonic() - began:.0f} s, {neighbour.check()}")


def open_ones(peers):
    """How many the server has not closed yet; each says a further byte."""
    count = 0
    for peer in peers:
        try:
            peer.setblocking(False)
            try:
                count += peer.recv(4096) != b""
            except BlockingIOError:
                count += 1
        except OSError:
            pass
    return count


@cell("R3: more connections than file descriptors")
def descriptors(folder):
    with neighbourhood(folder, max_files=256) as (server, neighbour):
        with ExitStack() as stack:
            for _ in range(1_000):
                try:
                    stack.enter_context(connect(server.rtmp, timeout_s=1))
                except OSError:
                    break  # the queue of the listener is full, too
            cpu, began = server.cpu_s(), time.monotonic()
            time.sleep(3)
            load = (server.cpu_s() - cpu) / (time.monotonic() - began)
            assert load <= 0.25, f"{100 * load:.0f} % of a core while it cannot accept"
        began = time.monotonic()
        wait_for("a new client", lambda: attempt(lambda: handshake_ms(server.rtmp) < 1000), 10)
        recovered = time.monotonic() - began
        assert recovered <= 2, f"recovered after {recovered:.1f} s"
        return f"{100 * load:.0f} % of a core, back after {recovered:.2f} s, {neighbour.check()}"


def attempt(action):
    try:
        return action()
    except OSError:
        return False


@cell("R4: publishing names without end")
def names(folder):
    limit = 50
    with neighbourhood(folder, f"[engine.hub]\nmax_streams = {limit}\n") as (server, neighbour), ExitStack() as stack:
        refused = 0
        for number in range(4 * limit):
            said, peer = publish_attempt(server.rtmp, "live", f"name{number}")
            stack.enter_context(peer)
            refused += b"NetStream.Publish.Start" not in said
            if refused:
                assert b"error" in said or not said, said[-200:]
        again, peer = publish_attempt(server.rtmp, "live", "cam")
        stack.enter_context(peer)
        assert b"NetStream.Publish.BadName" in again, f"a second publisher is told {again[-200:]}"
        assert refused >= 3 * limit, f"{refused} of {4 * limit} refused"
        return f"{refused} of {4 * limit} refused at {limit} streams, a second publisher is told BadName, {neighbour.check()}"


@cell("R6: more viewers than the server admits")
def admission(folder):
    limit = 40
    with neighbourhood(folder, f"[engine]\nmax_sessions = {limit}\n") as (server, neighbour), ExitStack() as stack:
        statuses = []
        for _ in range(2 * limit):
            peer = stack.enter_context(connect(server.http))
            peer.sendall(b"GET /flv/live/cam.flv HTTP/1.1\r\nHost: test\r\n\r\n")
            statuses.append(peer.recv(512))
        admitted = sum(status.startswith(b"HTTP/1.1 200") for status in statuses)
        turned_away = [status for status in statuses if status.startswith(b"HTTP/1.1 503")]
        assert admitted + len(turned_away) == 2 * limit, set(status[:12] for status in statuses)
        assert all(b"retry-after" in status.lower() for status in turned_away), turned_away[0]
        assert admitted < limit, f"{admitted} admitted"
        return f"{admitted} admitted, {len(turned_away)} told 503 and when to come again, {neighbour.check()}"
