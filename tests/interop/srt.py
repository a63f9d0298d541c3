"""SRT into every protocol and out of every other, with each codec that MPEG-TS carries; pulled, pushed, and with AES-GCM."""

import os
import time
from contextlib import ExitStack
from pathlib import Path

from formats import CONFIG, WHOLE_S
from matrix import cell
from media import FFMPEG, FFMPEG9, clip, publish
from server import Server, free_port, wait_for
from srt_matrix import TAIL_S, first_after, secured
from srt_peers import Decoder, Ffmpeg, LiveTransmit, Process, compare, live_transmit, paced, sent

CLIP = "h264-bframes-aac"
GCM = "&cryptomode=2"


def is_aac(name):
    return name.endswith("aac")


def crosses(folder, program, name, publish_by, play_by):
    path = clip(name)
    with Server(folder, CONFIG) as server, ExitStack() as stack:
        urls = server.urls("live/cam")

        def view():
            return stack.enter_context(Decoder(folder, "viewer", urls[play_by], program, is_aac(name)))

        # Playlists and SRT are asked for what is there; the others wait.
        late = play_by in ("HLS", "SRT")
        viewer = None if late else view()
        if viewer:
            wait_for("the viewer's session", server.sessions, 10)
        if publish_by == "SRT":
            publisher = Ffmpeg(program).publish(folder, path, server.srt_url("live/cam", "publish"))
        else:
            publisher = publish(folder, path, urls[publish_by], program)
        stack.enter_context(publisher)
        if late:
            server.wait_live("live/cam")
            viewer = view()
        assert publisher.wait(WHOLE_S) == 0, "the publisher failed"
        viewer.wait(WHOLE_S)
        return compare(sent(path, program), viewer, late, TAIL_S if publish_by == "SRT" else 0)


def register(program, name, publish_by, play_by):
    version = "9" if program is FFMPEG9 else "5"
    cell(f"SRT paths: ffmpeg {version} publishes {name} by {publish_by}, plays by {play_by}", beside=True)(
        lambda folder: crosses(folder, program, name, publish_by, play_by)
    )


for out in ("RTMP", "FLV", "HLS", "TS"):
    register(FFMPEG, "h264-aac", "SRT", out)
    register(FFMPEG9, "hevc-aac", "SRT", out)
register(FFMPEG, "h264-bframes-aac", "RTMP", "TS")
register(FFMPEG9, "hevc-aac", "RTMP", "TS")
register(FFMPEG9, "hevc-aac", "RTMP", "SRT")
for name in ("hevc-aac", "h264-opus", "h264-mp3", "h264-ac3"):
    register(FFMPEG9, name, "SRT", "SRT")
register(FFMPEG9, "h264-opus", "RTMP", "SRT")


class Restream(Process):
    """An engine that publishes one stream here, or fetches it, and sends it on to a target."""

    def __init__(self, folder, stream, target):
        self.rtmp = free_port()
        program = Path(os.environ["CRUVZ_SERVER"]).parent / "examples" / "restream"
        super().__init__(folder, "restream", [program, f"127.0.0.1:{self.rtmp}", stream, target])
        wait_for("the start of restreaming", self.lines, 10)


def pulled(folder, url, publisher, we_listen=False):
    """The engine fetches from a publisher and sends on by RTMP; what then plays is what was published."""
    with Server(folder, CONFIG) as server, ExitStack() as stack:
        judge = stack.enter_context(Decoder(folder, "judge", server.urls("live/cam")["TS"]))
        wait_for("the judge's session", server.sessions, 10)
        if not we_listen:
            publisher = stack.enter_context(publisher())
        restream = stack.enter_context(Restream(folder, f"live/cam={url}", server.rtmp_url("live/cam")))
        if we_listen:
            publisher = stack.enter_context(publisher())
        publisher.watch(server, WHOLE_S)
        restream.process.kill()  # it would wait for the publisher to come back
        judge.wait(WHOLE_S)
        return compare(sent(clip(CLIP)), judge, late=True, tail_s=TAIL_S)


def pushed(folder, url, player):
    """ffmpeg publishes by RTMP, the engine sends on; the player gets what was published."""
    with ExitStack() as stack:
        restream = Restream(folder, "live/cam", url)
        stack.enter_context(restream)
        player = stack.enter_context(player())
        publisher = stack.enter_context(publish(folder, clip(CLIP), f"rtmp://127.0.0.1:{restream.rtmp}/live/cam"))
        first = first_after(time.monotonic(), player)
        assert publisher.wait(WHOLE_S) == 0, "the publisher failed"
        player.wait(WHOLE_S)
        return f"{compare(sent(clip(CLIP)), player, late=True)}, {first}"


@cell("SRT paths: pulled as a caller from srt-live-transmit", beside=True)
def pulled_from_listener(folder):
    port = free_port()
    command = live_transmit("file://con", f"srt://127.0.0.1:{port}?mode=listener")
    return pulled(folder, f"srt://127.0.0.1:{port}", lambda: Process(folder, "publisher", command, paced(clip(CLIP))))


@cell("SRT paths: pulled as a listener, ffmpeg 5 calls", beside=True)
def pulled_from_caller(folder):
    port = free_port()
    call = lambda: Ffmpeg(FFMPEG).publish(folder, clip(CLIP), f"srt://127.0.0.1:{port}")
    return pulled(folder, f"srt://127.0.0.1:{port}?mode=listener", call, we_listen=True)


@cell("SRT paths: pulled with AES-256-GCM from ffmpeg 9", beside=True)
def pulled_gcm(folder):
    port, options = free_port(), secured(32)[1]
    wait = lambda: Ffmpeg(FFMPEG9).publish(folder, clip(CLIP), f"srt://127.0.0.1:{port}?mode=listener{options}")
    return pulled(folder, f"srt://127.0.0.1:{port}?mode=caller{options}{GCM}", wait)


@cell("SRT paths: pushed to srt-live-transmit", beside=True)
def pushed_to_listener(folder):
    port = free_port()
    return pushed(folder, f"srt://127.0.0.1:{port}",
                  lambda: LiveTransmit().play(folder, f"srt://127.0.0.1:{port}?mode=listener"))


@cell("SRT paths: pushed as a listener, ffmpeg 5 calls", beside=True)
def pushed_to_caller(folder):
    port = free_port()
    return pushed(folder, f"srt://127.0.0.1:{port}?mode=listener",
                  lambda: Ffmpeg(FFMPEG).play(folder, f"srt://127.0.0.1:{port}?connect_timeout=20000"))


@cell("SRT paths: pushed with AES-128-GCM to ffmpeg 9", beside=True)
def pushed_gcm(folder):
    port, options = free_port(), secured(16)[1]
    return pushed(folder, f"srt://127.0.0.1:{port}?mode=caller{options}{GCM}",
                  lambda: Ffmpeg(FFMPEG9).play(folder, f"srt://127.0.0.1:{port}?mode=listener{options}"))


@cell("SRT paths: pushed to another Cruvz with AES-256-GCM", beside=True)
def pushed_to_cruvz(folder):
    config, options = secured(32)
    with Server(folder, CONFIG + config) as server:
        url = server.srt_url("live/cam", "publish", f"{options}{GCM}")
        return pushed(folder, url, lambda: Decoder(folder, "judge", server.urls("live/cam")["TS"]))
