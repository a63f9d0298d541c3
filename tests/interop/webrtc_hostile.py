"""WebRTC and those who mean no good: offers that nobody follows up, candidates that point elsewhere, strangers at the port, broken pictures."""

import http.client
import json
import random
import re
import socket
import struct
import subprocess
import time
from contextlib import ExitStack, contextmanager

from formats import CONFIG, WHOLE_S
from matrix import cell
from media import FFMPEG9, Run, clip, frames_of, play, publish
from networks import Networks, run
from server import Server, wait_for
from webrtc import Aiortc

OFFERS = 5_000
STRANGERS = 100_000
# A player that comes after them all is there by then, on a machine that does other things, too.
SERVED_S = 10
# What 1,000 sessions that wait take, with what the allocator keeps of the others.
MOST_MIB = 40

OFFER = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=ice-ufrag:{ufrag}
a=ice-pwd:0123456789012345678901
a=ice-options:trickle
a=fingerprint:sha-256 """ + ":".join(["AB"] * 32) + """
a=setup:actpass
a=mid:0
a={direction}
a=rtcp-mux
a=rtpmap:96 H264/90000
a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
{candidates}"""


class Client:
    """One connection to the server, over which it is asked for sessions."""

    def __init__(self, server):
        self.connection, self.ufrags = http.client.HTTPConnection("127.0.0.1", server.http, timeout=20), 0

    def offer(self, path, candidates=""):
        """(status, session's URL, entity tag)"""
        self.ufrags += 1
        direction = "recvonly" if path.startswith("/whep") else "sendonly\na=msid:s v\na=ssrc:1234 cname:peer"
        sdp = OFFER.format(ufrag=f"peer{self.ufrags}", direction=direction, candidates=candidates).replace("\n", "\r\n")
        return self.ask("POST", path, sdp, {"Content-Type": "application/sdp"})

    def ask(self, method, path, body, headers):
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status, answer.headers["Location"], answer.headers["ETag"]


@cell("WebRTC: 5,000 offers to watch and 5,000 to publish that nobody follows up")
def half_open(folder):
    with Server(folder, CONFIG) as server, ExitStack() as stack:
        stack.enter_context(publish(folder, clip("h264-opus"), server.rtmp_url("live/cam"), FFMPEG9, loop=-1))
        server.wait_live("live/cam")
        client, figures = Client(server), []
        for kind, path in (("watch", lambda _: "/whep/live/cam"), ("publish", lambda number: f"/whip/live/half-{number}")):
            before, began = server.rss_mib(), time.monotonic()
            statuses = [client.offer(path(number))[0] for number in range(OFFERS)]
            assert set(statuses) == {201}, f"offers to {kind} were answered {sorted(set(statuses))}"
            grew, took = server.rss_mib() - before, time.monotonic() - began
            waiting = len([one for one in server.sessions() if one["protocol"] in ("whip", "whep")])
            assert waiting <= 1_000, f"{waiting} sessions wait"
            assert grew <= MOST_MIB, f"memory grew by {grew:.1f} MiB"
            figures.append(f"{OFFERS} to {kind} in {took:.1f} s, {waiting} wait, {grew:+.1f} MiB")
        asked = time.monotonic()
        with Aiortc(folder, "viewer", "play", server.whep_url("live/cam")) as viewer:
            served = lambda: any(one["protocol"] == "whep" and one["frames"] > 60 for one in server.sessions())
            wait_for("a viewer being served", served, SERVED_S)
            seen = viewer.end()["seen"]
        assert seen["video"]["frames"] > 0, f"the viewer saw nothing: {seen}"
        return f"{'; '.join(figures)}; a viewer that came then was served after {time.monotonic() - asked:.1f} s"


# Where a server could be made to talk to: itself, its neighbours, the link, groups, names.
ELSEWHERE = ["127.0.0.1 PORT", "127.8.9.10 PORT", "169.254.1.1 PORT", "10.77.0.1 PORT", "198.18.1.2 PORT", "224.0.0.251 5353",
             "::1 PORT", "fe80::1 PORT", "ff02::fb 5353", "0d3a4bc8-4b9e-4d0c-9d7e-9f1b6c1d2e3f.local PORT", "localhost PORT"]

# Counts what the server's namespace sends, but for the pages: datagrams, and connections that are begun.
WATCH = """
table inet watch {
  counter sent { }
  chain out {
    type filter hook output priority filter
    meta l4proto udp counter name sent
    tcp dport PAGES accept
    tcp flags & (syn | ack) == syn counter name sent
  }
}
"""


@contextmanager
def watched(folder, config):
    """A server in a network of its own, and the function that says how many packets it has begun to send."""
    with Networks() as networks, networks.inside("lan"):
        server = Server(folder, config, host="0.0.0.0")
        run("nft", "-f", "-", text=WATCH.replace("PAGES", str(server.http)))
        with server:
            yield server, lambda: counters()["sent"]["packets"]


@cell("WebRTC: candidates that point elsewhere are not dialled")
def candidates_elsewhere(folder):
    with watched(folder, CONFIG + "[engine.webrtc]\nconnect_timeout_ms = 3000\n") as (server, sent), ExitStack() as stack:
        traps = [stack.enter_context(socket.socket(type=kind)) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
        traps[0].bind(("127.0.0.1", 0))
        port = traps[0].getsockname()[1]
        traps[1].bind(("127.0.0.1", port))
        traps[1].listen()
        places = [place.replace("PORT", str(port)) for place in ELSEWHERE]
        lines = [f"a=candidate:{number} 1 {how} 2113937151 {place} typ {kind}"
                 for number, place in enumerate(places)
                 for how, kind in (("udp", "host"), ("tcp", "host tcptype passive"), ("udp", "relay raddr 127.0.0.1 rport 9"))]
        stack.enter_context(publish(folder, clip("h264-opus"), server.rtmp_url("live/cam"), FFMPEG9, loop=-1))
        server.wait_live("live/cam")
        client, before = Client(server), sent()
        for path in ("/whep/live/cam", "/whip/live/other"):
            status, session, tag = client.offer(path, "\n".join([*lines, ""]))
            assert status == 201, f"{path} answered {status}"
            for number in (1, 2):
                # Once as more candidates of the same, once with credentials that begin ICE anew.
                ufrag = f"peer{client.ufrags}" if number == 1 else "again"
                fragment = "\r\n".join([f"a=ice-ufrag:{ufrag}", "a=ice-pwd:0123456789012345678901", "m=video 9 UDP/TLS/RTP/SAVPF 96",
                                        "a=mid:0", *lines, ""])
                headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": tag}
                status = client.ask("PATCH", session, fragment, headers)[0]
                assert status == (204 if number == 1 else 200), f"PATCH of {path} was answered {status}"
        # As long as they wait, the server might begin something.
        wait_for("both being given up", lambda: not [one for one in server.sessions() if one["protocol"] in ("whip", "whep")], 10)
        count = sent() - before
        assert count == 0, f"{count} packets were sent to somewhere"
        for trap in traps:
            trap.setblocking(False)
        assert not heard(traps[0].recv) and not heard(traps[1].accept), "somebody knocked"
        # The same eyes do see a packet.
        traps[0].sendto(b"seen", ("127.0.0.1", port))
        assert sent() - before == 1 and heard(traps[0].recv), "nobody would have seen it"
        return f"{len(lines)} candidates in offers and fragments of 2 sessions, 2 restarts: no packet sent, no name looked up"


def stun(number):
    """A connectivity check for nobody, as long as those of browsers."""
    username = b"nobody:peer".ljust(12, b"\0")
    attributes = struct.pack(">HH", 6, 11) + username + struct.pack(">HHI", 0x24, 4, 1) + struct.pack(">HHQ", 0x802A, 8, 1)
    attributes += struct.pack(">HH", 8, 20) + bytes(20)
    return struct.pack(">HHI", 1, len(attributes), 0x2112A442) + number.to_bytes(12, "big") + attributes


def client_hello(number):
    """The beginning of a handshake in one record: version 1.2, a random, two ciphers."""
    hello = b"\xfe\xfd" + number.to_bytes(32, "big") + b"\0\0" + struct.pack(">HHH", 4, 0xC02B, 0xC02F) + b"\1\0"
    message = b"\1" + len(hello).to_bytes(3, "big") + struct.pack(">H", 0) + bytes(3) + len(hello).to_bytes(3, "big") + hello
    return b"\x16\xfe\xfd" + number.to_bytes(8, "big") + struct.pack(">H", len(message)) + message


def induction(number):
    """What a caller of SRT says first."""
    return struct.pack(">IIII", 0x80000000, 0, number, 0) + struct.pack(">IHHIIIIII", 4, 0, 2, number, 1500, 8192, 1, number, 0) + bytes(16)


@cell("WebRTC and SRT: strangers get no more than they send, and are not remembered")
def strangers(folder):
    rules = """table inet ways {
      counter come { }
      counter go { }
      chain in { type filter hook input priority filter; udp dport PORT counter name come; }
      chain out { type filter hook output priority filter; udp sport PORT counter name go; }
    }"""
    figures = []
    with Networks() as networks, networks.inside("lan"), Server(folder, CONFIG, host="0.0.0.0") as server:
        for what, port, make, most in (("STUN", server.webrtc, stun, 0), ("DTLS", server.webrtc, client_hello, 0), ("SRT", server.srt, induction, 1)):
            run("nft", "-f", "-", text=rules.replace("PORT", str(port)).replace("; }", "\n}").replace("; ", "\n"))
            before = server.rss_mib()
            with networks.inside("router"), socket.socket(type=socket.SOCK_DGRAM) as sender:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                for number in range(STRANGERS):
                    sender.sendto(make(number), ("10.77.0.2", port))
            come, go = (counters()[name] for name in ("come", "go"))
            run("nft", "delete", "table", "inet", "ways")
            grew = server.rss_mib() - before
            assert come["packets"] > STRANGERS * 0.9, f"only {come['packets']} came"
            assert go["bytes"] <= most * come["bytes"], f"{what}: {go['bytes']} bytes for {come['bytes']}"
            assert grew <= 4, f"{what}: memory grew by {grew:.1f} MiB"
            figures.append(f"{what}: {come['packets']} datagrams, {go['bytes']} bytes for {come['bytes']}, {grew:+.2f} MiB")
        strays = server.metric("cruvz_refused_total", reason="stray_datagram")
        assert strays > STRANGERS, f"{strays} were counted"
    return "; ".join(figures)


def counters():
    """What nft has counted in this network, by name."""
    listed = json.loads(subprocess.run(["nft", "-j", "list", "counters"], check=True, capture_output=True).stdout)
    return {one["counter"]["name"]: one["counter"] for one in listed["nftables"] if "counter" in one}


def heard(take):
    try:
        return take(*([2_000] if take.__name__ == "recv" else []))
    except BlockingIOError:
        return None


# Of the bits of a broken second, these are flipped: a few in each picture, up to a hundred.
FLIPS = {"one in 10,000": 0.0001, "one in 1,000": 0.001, "one in 50": 0.02}
BROKEN_S = (2, 5)
# A group of pictures, and what the neighbours' rules allow beside it.
RECOVERS_S = 1 + 1
# Pictures.
UNDER_WAY = 3


def broken(folder, share):
    """A clip, and its pictures as a byte stream in which bits of some seconds are flipped."""
    whole, path = folder / "whole.mp4", folder / "broken.h264"
    for source, made in ((clip("h264-aac"), whole), (whole, path)):
        subprocess.run([FFMPEG9, "-v", "error", "-nostdin", "-i", source, "-an", "-c", "copy", made], check=True)
    stream = bytearray(path.read_bytes())
    # Each second begins with parameters.
    seconds = [found.start() for found in re.finditer(b"\0\0\0\1\x67", stream)]
    assert len(seconds) == 8, f"{len(seconds)} keyframes"
    chance, (first, last) = random.Random(1), (seconds[at] for at in BROKEN_S)
    for _ in range(int((last - first) * 8 * share)):
        stream[chance.randrange(first, last)] ^= 1 << chance.randrange(8)
    path.write_bytes(stream)
    return whole, path


def breaks(folder, share):
    """A publisher's broken pictures cost its neighbour's viewer nothing, and its own viewer no more than it takes to begin anew."""
    whole, path = broken(folder, share)
    with Server(folder, CONFIG) as server, ExitStack() as stack:
        neighbour = stack.enter_context(publish(folder, clip("h264-aac"), server.rtmp_url("live/near"), FFMPEG9, loop=1))
        server.wait_live("live/near")
        near, bad = (stack.enter_context(play(folder, name, server.rtmp_url(f"live/{name}"), FFMPEG9)) for name in ("near", "bad"))
        wait_for("the viewers' sessions", lambda: len(server.sessions()) == 3, 10)
        raw = ["-re", "-f", "h264", "-framerate", "30", "-i", path, "-c", "copy", "-f", "whip", server.whip_url("live/bad")]
        publisher = stack.enter_context(Run(folder, "breaker", raw, FFMPEG9))
        for program in (publisher, bad, neighbour, near):
            status = program.wait(WHOLE_S)
            assert status == 0, f"{program.name} failed"
        sent = [frame.md5 for frame in frames_of(clip("h264-aac"), FFMPEG9)["video"]] * 2
        came = [frame.md5 for frame in near.frames()["video"]]
        assert came == sent, f"of the neighbour's {len(sent)} pictures {len(came)} came"
        return recovers(frames_of(whole, FFMPEG9)["video"], bad.frames()["video"])


def recovers(sent, got):
    """Fails unless all pictures came unchanged from soon after the broken ones on. Returns the figures."""
    places = {frame.md5: number for number, frame in enumerate(sent)}
    known = [places[frame.md5] for frame in got if frame.md5 in places]
    clean = BROKEN_S[1] * 30
    first = min((place for place in known if place >= clean), default=len(sent))
    late = (first - clean) / 30
    assert late <= RECOVERS_S, f"the first whole picture came {late:.2f} s after the last broken one"
    rest = [place for place in known if place >= clean]
    # What was on its way when the publisher said goodbye may be gone.
    assert rest == list(range(first, first + len(rest))) and first + len(rest) >= len(sent) - UNDER_WAY, (
        f"of {len(sent) - first} pictures from then on {len(rest)} came, the last is {rest[-1]}")
    changed = len(got) - len(known)
    return f"the neighbour's viewer has every picture; {len(got)} of {len(sent)} came, {changed} of them changed, all whole {late:.2f} s after the input is"


for words, share in FLIPS.items():
    cell(f"WebRTC: {words} bits of a publisher's pictures are flipped")(lambda folder, share=share: breaks(folder, share))
