"""A publisher dies and comes back: its viewers stay on one timeline. It dies and stays away: they are told so."""

import time
from contextlib import ExitStack

from matrix import cell
from media import clip, play, publish
from server import Server, wait_for

PROTOCOLS = ["RTMP", "FLV", "HLS"]
BEFORE_S, AWAY_S, AFTER_S = 6, 3, 8


def rises(frames):
    """The largest step in decoding time; fails where time goes back."""
    steps = [b.dts - a.dts for a, b in zip(frames, frames[1:])]
    assert steps and min(steps) >= 0, f"time goes back by {-min(steps, default=0):.3f} s"
    return max(steps)


@cell("publisher killed, back after 3 s: viewers go on, on one timeline")
def back_in_time(folder):
    path = clip("h264-bframes-aac")
    with Server(folder) as server, ExitStack() as stack:
        urls = server.urls("live/cam")
        first = stack.enter_context(publish(folder, path, urls["RTMP"], loop=-1))
        server.wait_live("live/cam")
        viewers = {name: stack.enter_context(play(folder, name, urls[name])) for name in PROTOCOLS}
        time.sleep(BEFORE_S)
        first.process.kill()
        first.process.wait()
        before = {name: viewer.frames() for name, viewer in viewers.items()}
        time.sleep(AWAY_S)
        stack.enter_context(publish(folder, path, urls["RTMP"], loop=-1))
        time.sleep(AFTER_S)
        figures = []
        for name, viewer in viewers.items():
            assert viewer.process.poll() is None, f"the {name} viewer has ended"
            frames = viewer.frames()
            for kind in ("video", "audio"):
                more = len(frames[kind]) - len(before[name][kind])
                assert more >= 60, f"{name}: {more} {kind} frames after the return"
                gap = rises(frames[kind])
                # The time that really passed, and the second that a program takes to start on a busy machine.
                assert AWAY_S - 0.5 <= gap <= AWAY_S + 4, f"{name}: the {kind} gap is {gap:.2f} s"
            apart = abs(frames["video"][-1].dts - frames["audio"][-1].dts)
            assert apart <= 0.5, f"{name}: audio and video are {apart:.2f} s apart"
            figures.append(f"{name} {len(frames['video'])} frames, gap {gap:.2f} s")
        sessions = [session for session in server.sessions() if session["role"] == "publish"]
        assert len(sessions) == 1, f"{len(sessions)} publishing sessions"
        return "; ".join(figures)


@cell("publisher killed, away past the grace: viewers are ended and told why")
def gone(folder):
    path = clip("h264-aac")
    with Server(folder) as server, ExitStack() as stack:
        urls = server.urls("live/cam")
        publisher = stack.enter_context(publish(folder, path, urls["RTMP"], loop=-1))
        server.wait_live("live/cam")
        viewers = {name: stack.enter_context(play(folder, name, urls[name])) for name in PROTOCOLS}
        time.sleep(BEFORE_S)
        publisher.process.kill()
        began = time.monotonic()
        for viewer in viewers.values():
            viewer.wait(25)
        took = time.monotonic() - began
        assert 9 <= took <= 20, f"the viewers ended after {took:.1f} s"
        wait_for("the stream's end", lambda: not server.streams(), 15)
        reasons = {(end["protocol"], end["role"]): end["reason"] for end in server.ended()}
        for protocol in ("rtmp", "http_flv"):
            assert reasons.get((protocol, "play")), f"no reason for the {protocol} viewer in {reasons}"
        return f"ended after {took:.1f} s: " + "; ".join(f"{p} {r}: {reason}" for (p, r), reason in sorted(reasons.items()))
