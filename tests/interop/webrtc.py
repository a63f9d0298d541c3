"""WebRTC, program by program: aiortc publishes and plays, ffmpeg's whip muxer publishes."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from formats import CONFIG, WHOLE_S
from matrix import cell
from media import FFMPEG9, Run, clip, frames_of, play, publish
from server import Server, wait_for

CLIENT = Path(__file__).with_name("webrtc_client.py")
# Where `tests/interop/run --str0m` has built it.
STR0M = os.environ.get("STR0M")
WATCHED_S = 8
# aiortc encodes in software and on one thread, at whatever rate the machine has left.
LEAST_FPS = 10


class Aiortc:
    """An aiortc that runs as long as its `with` block."""

    def __init__(self, folder, name, *arguments):
        self.log = (Path(folder) / f"{name}.log").open("wb")
        self.process = subprocess.Popen([sys.executable, CLIENT, *map(str, arguments)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)

    def __enter__(self):
        # It says so once the server has answered.
        assert self.process.stdout.readline().strip() in ("publishing", "playing"), "aiortc got no answer"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def end(self):
        """Lets it leave; what it saw."""
        out, _ = self.process.communicate(timeout=20)
        seen = json.loads(out)
        assert seen["delete"] == 200, f"DELETE was answered {seen['delete']}"
        return seen


def aiortc_publishes(folder, codec):
    with Server(folder, CONFIG) as server, ExitStack() as stack:
        publisher = stack.enter_context(Aiortc(folder, "publisher", "publish", server.whip_url("live/cam"), clip("h264-opus"), codec))
        server.wait_live("live/cam")
        viewer = stack.enter_context(Aiortc(folder, "viewer", "play", server.whep_url("live/cam")))
        time.sleep(WATCHED_S)  # what is measured is this time
        return f"{judge(viewer.end()['seen'])}; {publisher.end()['sent']} packets sent"


def judge(seen):
    """Fails unless picture and sound came in order and without large holes. Returns the figures."""
    video, audio = seen["video"], seen["audio"]
    assert video["frames"] >= (WATCHED_S - 2) * LEAST_FPS, f"{video['frames']} pictures in {WATCHED_S} s"
    assert audio["frames"] >= (WATCHED_S - 2) * 50 * 0.8, f"{audio['frames']} audio frames in {WATCHED_S} s"
    assert audio["loudest"] > 100, f"the sound is silent: {audio['loudest']}"
    assert not video["back"] and not audio["back"], f"{video['back']} pictures and {audio['back']} audio frames went back"
    return f"{video['frames']} pictures + {audio['frames']} audio frames decoded, first after {video['first_s']:.2f} s"


for codec in ("VP8", "H264"):
    cell(f"WebRTC: aiortc publishes {codec}, aiortc plays")(lambda folder, codec=codec: aiortc_publishes(folder, codec))


@cell("WebRTC: ffmpeg publishes h264-opus by Enhanced RTMP, aiortc plays")
def aiortc_plays(folder):
    with Server(folder, CONFIG) as server, ExitStack() as stack:
        stack.enter_context(publish(folder, clip("h264-opus"), server.rtmp_url("live/cam"), FFMPEG9, loop=-1))
        server.wait_live("live/cam")
        viewer = stack.enter_context(Aiortc(folder, "viewer", "play", server.whep_url("live/cam")))
        time.sleep(WATCHED_S)
        return judge(viewer.end()["seen"])


@cell("WebRTC: ffmpeg 9 publishes h264-opus by WHIP, plays by RTMP")
def ffmpeg_publishes(folder):
    path = clip("h264-opus")
    with Server(folder, CONFIG) as server, ExitStack() as stack:
        viewer = stack.enter_context(play(folder, "viewer", server.rtmp_url("live/cam"), FFMPEG9))
        wait_for("the viewer's session", server.sessions, 10)
        arguments = ["-re", "-i", path, "-c", "copy", "-f", "whip", server.whip_url("live/cam")]
        publisher = stack.enter_context(Run(folder, "publisher", arguments, FFMPEG9))
        assert publisher.wait(WHOLE_S) == 0, "the publisher failed"
        viewer.wait(WHOLE_S)
        return complete(frames_of(path, FFMPEG9), viewer.frames())


def complete(sent, got):
    """Fails unless nearly all frames came, the same pictures in the same order. Returns the figures."""
    assert got.keys() == sent.keys(), f"sent {list(sent)}, got {list(got)}"
    figures = []
    for kind, frames in sent.items():
        hashes = {frame.md5: number for number, frame in enumerate(frames)}
        known = [hashes[frame.md5] for frame in got[kind] if frame.md5 in hashes]
        # A second may be gone at the start, before the connection stands, and what was on its way at the end.
        assert len(known) >= len(frames) * 0.8, f"{len(known)} of {len(frames)} {kind} frames came unchanged, {len(got[kind])} in all"
        assert all(a < b for a, b in zip(known, known[1:])), f"{kind} frames came in another order"
        holes = known[-1] - known[0] + 1 - len(known)
        assert not holes, f"{holes} {kind} frames are missing in between"
        assert all(a.dts <= b.dts for a, b in zip(got[kind], got[kind][1:])), f"{kind} times go back"
        figures.append(f"{len(known)} of {len(frames)} {kind}")
    return f"{' + '.join(figures)} frames came unchanged, without a hole"


@contextmanager
def str0m(folder, name, *arguments):
    """A str0m that runs as long as the block, at the end of which it must have left by itself. Gives the function that says what it saw."""
    with (Path(folder) / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([STR0M, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)

    def seen():
        out, _ = process.communicate(timeout=WHOLE_S)
        assert process.returncode == 0, f"{name} failed"
        return json.loads(out)

    try:
        yield seen
    finally:
        process.kill()
        process.wait()


def str0m_both_ways(folder):
    """A player that waits for the stream gets every slice that the publisher sends, and sound without a gap."""
    path = folder / "pictures.h264"
    delimited = ["-c:v", "copy", "-bsf:v", "h264_mp4toannexb,h264_metadata=aud=insert", "-an", "-f", "h264", path]
    subprocess.run([FFMPEG9, "-v", "error", "-nostdin", "-i", clip("h264-opus"), *delimited], check=True)
    with Server(folder, CONFIG) as server, str0m(folder, "player", "play", server.whep_url("live/cam")) as played:
        wait_for("the player's session", server.sessions, 10)
        with str0m(folder, "publisher", "publish", server.whip_url("live/cam"), path) as published:
            sent = published()
        got = played()
        assert got["slices"] == sent["slices"], f"of {len(sent['slices'])} slices {len(set(sent['slices']) & set(got['slices']))} came"
        assert got["pictures"] == sent["pictures"] and not got["gaps"], f"sent {sent['pictures']} pictures, got {got['pictures']}, {got['gaps']} gaps"
        # Sound begins as it is when the player comes.
        assert sent["sounds"] - 50 <= got["sounds"] <= sent["sounds"], f"of {sent['sounds']} packets of sound {got['sounds']} came"
        return f"{got['pictures']} of {sent['pictures']} pictures, the same to the byte; {got['sounds']} of {sent['sounds']} packets of sound, no gap"


if STR0M:
    cell("WebRTC: str0m publishes by WHIP and plays by WHEP")(str0m_both_ways)
