"""SRT, program by program: each publishes and plays, plain and encrypted, and no packet is missing."""

import time
from contextlib import ExitStack

from formats import CONFIG, WHOLE_S
from matrix import cell
from media import FFMPEG, FFMPEG9, clip, publish
from server import Server, wait_for
from srt_peers import PASSPHRASE, Decoder, Ffmpeg, Gstreamer, LiveTransmit, compare, sent

CLIP = "h264-bframes-aac"
# What programs lose of their own end: libsrt throws away what it has not sent yet when its socket is closed.
TAIL_S = 0.5
KEYS = {"plain": None, "AES-128": 16, "AES-256": 32}
PEERS = [Ffmpeg(FFMPEG), Ffmpeg(FFMPEG9), LiveTransmit(), Gstreamer()]


def secured(key_bytes):
    """The configuration and the parameters of URLs that go with a key."""
    if not key_bytes:
        return "", ""
    return f'[engine.srt]\npassphrase = "{PASSPHRASE}"\n', f"&passphrase={PASSPHRASE}&pbkeylen={key_bytes}"


def first_after(began, player):
    wait_for("the first media", player.has_media, WHOLE_S)
    return f"first media after {time.monotonic() - began:.1f} s"


def faultless(session):
    """Fails if a publisher's packets or its transport stream had holes."""
    errors, srt = session["mpegts"], session["srt"]
    assert not any(errors.values()), f"the transport stream came with {errors}"
    assert not srt["dropped_packets"], f"{srt['dropped_packets']} packets never came"
    return f"0 of {srt['packets']} packets missing, 0 continuity errors"


def publishes(folder, peer, key_bytes):
    config, options = secured(key_bytes)
    with Server(folder, CONFIG + config) as server, ExitStack() as stack:
        judge = stack.enter_context(Decoder(folder, "judge", server.urls("live/cam")["TS"]))
        wait_for("the judge's session", server.sessions, 10)
        began = time.monotonic()
        url = server.srt_url("live/cam", "publish", options)
        publisher = stack.enter_context(peer.publish(folder, clip(CLIP), url))
        first = first_after(began, judge)
        session = publisher.watch(server, WHOLE_S)
        judge.wait(WHOLE_S)
        return f"{compare(sent(clip(CLIP)), judge, tail_s=TAIL_S)}, {first}, {faultless(session)}"


def plays(folder, peer, key_bytes):
    config, options = secured(key_bytes)
    with Server(folder, CONFIG + config) as server, ExitStack() as stack:
        publisher = stack.enter_context(publish(folder, clip(CLIP), server.rtmp_url("live/cam")))
        server.wait_live("live/cam")
        began = time.monotonic()
        player = stack.enter_context(peer.play(folder, server.srt_url("live/cam", options=options)))
        first = first_after(began, player)
        assert publisher.wait(WHOLE_S) == 0, "the publisher failed"
        player.wait(WHOLE_S)
        return f"{compare(sent(clip(CLIP)), player, late=True)}, {first}"


def register(peer, key, does):
    verb = does.__name__
    cell(f"SRT: {peer.name} {verb}, {key}", beside=True)(lambda folder: does(folder, peer, KEYS[key]))


for peer in PEERS:
    for key in KEYS:
        register(peer, key, publishes)
        register(peer, key, plays)
