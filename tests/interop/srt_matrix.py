"""SRT, program by program: each publishes and plays, plain and encrypted, and no packet is missing."""

import time
from contextlib import ExitStack

from formats import CONFIG, WHOLE_S
from matrix import cell
from media import FFMPEG, FFMPEG9, clip, publish
from programs import OBS_START_S, look, obs, obs_settings
from server import Server, wait_for
from srt_peers import PASSPHRASE, SRT_TOKIO, Decoder, Ffmpeg, Gstreamer, LiveTransmit, SrtTokio, compare, sent

CLIP = "h264-bframes-aac"
# What programs lose of their own end: libsrt throws away what it has not sent yet when its socket is closed.
TAIL_S = 0.5
OBS_S = 10
KEYS = {"plain": None, "AES-128": 16, "AES-256": 32}
PEERS = [Ffmpeg(FFMPEG), Ffmpeg(FFMPEG9), LiveTransmit(), Gstreamer(), *([SrtTokio()] if SRT_TOKIO else [])]


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


def obs_both_ways(folder, key_bytes):
    """OBS shows what it plays by SRT, and publishes that by SRT."""
    config, options = secured(key_bytes)
    with Server(folder, config) as server, ExitStack() as stack:
        stack.enter_context(publish(folder, clip(CLIP), server.rtmp_url("live/cam"), loop=-1))
        server.wait_live("live/cam")
        # OBS wants no percent signs and counts latency in microseconds.
        source = {"is_local_file": False, "input": server.srt_url("live/cam", options=options), "input_format": "mpegts",
                  "reconnect_delay_sec": 1}
        target = server.srt_url("live/obs", "publish", f"&mode=caller&latency=200000{options}")
        stack.enter_context(obs(folder, obs_settings(folder, target, "", source)))
        server.wait_live("live/obs", OBS_START_S)
        viewer = stack.enter_context(Decoder(folder, "viewer", server.urls("live/obs")["TS"]))
        pictures, figures = look(server, viewer, OBS_S)
        different = len({picture.md5 for picture in pictures})
        assert different >= len(pictures) // 2, f"{different} different pictures of {len(pictures)}: OBS does not show the stream"
        sessions = {(session["stream"], session["role"]): session for session in server.sessions() if session["protocol"] == "srt"}
        playing, publishing = sessions["live/cam", "play"], sessions["live/obs", "publish"]
        assert not playing["skips"], f"OBS as a player was made to jump {playing['skips']} times"
        return f"{figures}, {different} different pictures, {playing['srt']['lost_packets']} lost in play, {faultless(publishing)}"


for key in KEYS:
    cell(f"SRT: OBS plays and publishes, {key}")(lambda folder, key=key: obs_both_ways(folder, KEYS[key]))
