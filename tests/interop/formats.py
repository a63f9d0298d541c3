"""ffmpeg publishes, ffmpeg plays: every frame comes out as it went in, by every protocol, and in time."""

from contextlib import ExitStack

from matrix import cell
from media import FFMPEG, FFMPEG9, clip, compare, frames_of, play, publish
from server import Server, wait_for

# Ending with the publisher makes viewers end, so that each knows when it has everything.
# Everything comes out as it went in, whatever players know.
CONFIG = "[engine.hub]\nend_on_unpublish = true\ngrace_ms = 1000\n[engine.egress]\ntranscode_audio = false\ntranscode_video = false\n"
WHOLE_S = 40

# what is published: by which ffmpeg, and by which protocols it is played
CASES = {
    "h264-aac": (FFMPEG, ["RTMP", "RTMPS", "FLV", "HLS"]),
    "h264-bframes-aac": (FFMPEG, ["RTMP", "RTMPS", "FLV", "HLS"]),
    "h264-only": (FFMPEG, ["RTMP", "FLV", "HLS"]),
    "aac-only": (FFMPEG, ["RTMP", "FLV", "HLS"]),
    "hevc-aac": (FFMPEG9, ["RTMP", "FLV", "HLS"]),
    "av1-opus": (FFMPEG9, ["RTMP", "FLV", "HLS"]),
}


def run(folder, name, program, protocol, publish_by="RTMP"):
    path = clip(name)
    with ExitStack() as stack:
        server = stack.enter_context(Server(folder, CONFIG, tls=True))
        urls = server.urls("live/cam")
        # The viewer comes first and waits; HLS is asked for by playlists, which may be too early for ffmpeg.
        viewer = None
        if protocol != "HLS":
            viewer = stack.enter_context(play(folder, protocol, urls[protocol], program))
            wait_for("the viewer's session", server.sessions, 10)
        publisher = stack.enter_context(publish(folder, path, urls[publish_by], program))
        if viewer is None:
            server.wait_live("live/cam")
            viewer = stack.enter_context(play(folder, protocol, urls[protocol], program))
        assert publisher.wait(WHOLE_S) == 0, "the publisher failed"
        viewer.wait(WHOLE_S)
        return compare(frames_of(path, program), viewer.frames())


def register(name, program, protocol):
    version = "9" if program is FFMPEG9 else "5"
    cell(f"ffmpeg {version} publishes {name}, plays by {protocol}")(lambda folder: run(folder, name, program, protocol))


for name, (program, protocols) in CASES.items():
    for protocol in protocols:
        register(name, program, protocol)

cell("ffmpeg 5 publishes h264-aac by RTMPS, plays by RTMP")(
    lambda folder: run(folder, "h264-aac", FFMPEG, "RTMP", publish_by="RTMPS")
)
