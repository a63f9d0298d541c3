"""WebRTC through NAT and firewalls: each way in turn is the only one that is open, and our own pages find it, or say why there is none."""

import json
import os
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from matrix import cell
from media import FFMPEG9, clip, publish
from networks import PUBLIC, RELAY, RELAY_PORT, SERVER, Networks
from server import Server, wait_for
from webrtc import WATCHED_S, Aiortc

THROUGH = Path(__file__).parents[1] / "browser" / "through.mjs"
PAGES_S = 120
KEY = "north"
SECRET = "shared with the relay"
CONFIG = f'[[publish]]\nkey = "{KEY}"\n[engine.webrtc]\nconnect_timeout_ms = 7000\n'
NAMED = f'{CONFIG}public_addresses = ["{PUBLIC}"]\n'
RELAYS = f"""[[engine.webrtc.turn]]
urls = ["turn:{RELAY}:{RELAY_PORT}?transport=udp", "turn:{RELAY}:{RELAY_PORT}?transport=tcp"]
secret = "{SECRET}"
"""


@contextmanager
def behind_nat(folder, firewall, config=NAMED):
    """A server behind NAT, this thread beside it, and the networks that its clients are in."""
    with Networks() as networks, networks.inside("lan"):
        server = Server(folder, config, host="0.0.0.0")
        networks.route(server.http, server.webrtc, firewall)
        with server:
            yield server, networks


@contextmanager
def relay(folder, networks):
    """coturn, which lets in whom the server told a password."""
    command = ["turnserver", "-n", "--listening-ip", RELAY, "--relay-ip", RELAY, "--listening-port", RELAY_PORT,
               "--use-auth-secret", "--static-auth-secret", SECRET, "--realm", "north", "--no-cli", "--no-tls", "--no-dtls",
               "--userdb", Path(folder) / "users", "--pidfile", Path(folder) / "relay.pid", "--log-file", "stdout"]
    with networks.inside("relay"), (Path(folder) / "relay.log").open("wb") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
        assert process.poll() is None, "the relay is gone"
    finally:
        process.kill()
        process.wait()


def pages(folder, networks, server):
    """What our own pages say to somebody outside who goes live and then watches."""
    with networks.inside("client"), (Path(folder) / "pages.log").open("wb") as log:
        command = ["node", THROUGH, f"http://{PUBLIC}:{server.http}", KEY]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, timeout=PAGES_S)
    assert done.returncode == 0, "the pages cannot be used"
    return json.loads(done.stdout)


def connects(folder, firewall, protocol, relayed=False):
    """Fails unless both pages play by `protocol`. Returns the figures."""
    with behind_nat(folder, firewall, NAMED + RELAYS * relayed) as (server, networks), ExitStack() as stack:
        if relayed:
            stack.enter_context(relay(folder, networks))
        seen = pages(folder, networks, server)
        publishing, watching = seen["publishing"], seen["watching"]
        assert publishing["state"] == "Live" and watching["protocol"] == "WebRTC", f"no connection: {seen}"
        for way in (publishing["way"], watching["way"]):
            assert way and way["protocol"] == protocol, f"media does not go by {protocol}: {seen}"
            assert way["to"] == f"{PUBLIC}:{server.webrtc}", f"media goes to {way['to']}"
        way = watching["way"]
        assert way["pictures"] >= 20 and way["sound"] > 0, f"{way['pictures']} pictures, sound {way['sound']}"
        return (f"live after {publishing['ms']} ms, plays after {watching['ms']} ms, {way['pictures']} pictures, "
                f"sound {way['sound']:.4f}, both by {protocol}")


for firewall, protocol in {
    "everything": "udp", "no UDP": "tcp", "pages and the relay": "relay by udp", "pages and the relay by TCP": "relay by tcp",
}.items():
    cell(f"NAT: {firewall} gets through, our pages go live and watch by {protocol}")(
        lambda folder, firewall=firewall, protocol=protocol: connects(folder, firewall, protocol, protocol.startswith("relay")))


@cell("NAT: aiortc publishes and plays from outside")
def aiortc_outside(folder):
    with behind_nat(folder, "everything") as (server, networks), ExitStack() as stack:
        path, base = clip("h264-opus"), f"http://{PUBLIC}:{server.http}"
        with networks.inside("client"):
            publisher = stack.enter_context(Aiortc(folder, "publisher", "publish", f"{base}/whip/live/cam?key={KEY}", path, "VP8"))
        server.wait_live("live/cam")
        with networks.inside("client"):
            viewer = stack.enter_context(Aiortc(folder, "viewer", "play", f"{base}/whep/live/cam"))
        time.sleep(WATCHED_S)  # what is measured is this time
        seen = viewer.end()["seen"]
        video, audio = seen["video"], seen["audio"]
        assert video["frames"] >= WATCHED_S and audio["frames"] >= WATCHED_S * 25, f"little came: {seen}"
        return f"{video['frames']} pictures + {audio['frames']} audio frames decoded; {publisher.end()['sent']} packets sent"


def explained(folder, firewall, config, address):
    """Media does not get through to `address`, which clients are told: fails unless the pages, the server's log and the doctor say so."""
    with behind_nat(folder, firewall, config) as (server, networks), ExitStack() as stack:
        stack.enter_context(publish(folder, clip("h264-aac"), server.rtmp_url("live/near"), FFMPEG9, loop=-1))
        server.wait_live("live/near")
        seen = pages(folder, networks, server)
        publishing, watching = seen["publishing"], seen["watching"]
        assert publishing["state"] == "Off air" and "cannot be reached" in publishing["failure"], f"the publisher is told {publishing}"
        assert watching["protocol"] == "LL-HLS" and "cannot be reached" in watching["notes"], f"the viewer is told {watching}"
        ends = wait_for("the end of both sessions", lambda: ends_of(server), 10)
        for protocol, why in ends.items():
            wanted = f"nothing of it came over UDP or TCP. Do clients reach this server at {address}:{server.webrtc}?"
            assert wanted in why, f"the server says of {protocol}: {why}"
        command = [os.environ["CRUVZ_SERVER"], "doctor", "--config", server.config, "--json"]
        report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, timeout=20).stdout)
        found = next(one for one in report["findings"] if one["topic"] == "public address")
        return f"publisher: {publishing['failure']} viewer: {watching['notes']} server: {ends['whip']} doctor: {found['found']}", found


def ends_of(server):
    """Why the sessions over WebRTC ended, by protocol, once both have."""
    ends = {one["protocol"]: one["reason"] for one in server.ended() if one["protocol"] in ("whip", "whep")}
    return ends if len(ends) == 2 else None


@cell("NAT: nothing but HTTP gets through, and everybody says so")
def nothing_gets_through(folder):
    said, found = explained(folder, "pages", NAMED, PUBLIC)
    assert found["verdict"] == "ok" and f"must be forwarded from there to {SERVER}" in found["found"], f"the doctor says {found}"
    return said


@cell("NAT: nobody told the server its public address, and everybody says so")
def no_address(folder):
    said, found = explained(folder, "everything", CONFIG, SERVER)
    assert found["verdict"] == "warning" and f"only private addresses ({SERVER})" in found["found"], f"the doctor says {found}"
    return said
