"""One bad viewer costs the good ones nothing."""

import statistics
import time
from contextlib import ExitStack

from flv_viewers import Crowd, Viewer
from matrix import cell
from media import clip, publish
from server import Server, wait_for

GOOD, SLOW_BYTES_PER_S, FAST_BYTES_PER_S = 50, 10_000, 10_000_000
QUIET_S, TOGETHER_S = 6, 15


@cell(f"a viewer that reads 10 kB/s beside {GOOD} good ones, 2 Mbit/s")
def slow_viewer(folder):
    with Server(folder) as server, ExitStack() as stack:
        stack.enter_context(publish(folder, clip("2mbit"), server.rtmp_url("live/cam"), loop=-1))
        server.wait_live("live/cam")
        crowd = stack.enter_context(Crowd())
        good = [crowd.add(Viewer(server.http, "live/cam")) for _ in range(GOOD)]
        wait_for("the first pictures", lambda: all(viewer.tags for viewer in good), 10)
        time.sleep(1)  # past the pictures of the past that each begins with
        began = time.monotonic()
        time.sleep(QUIET_S)
        joined = time.monotonic()
        slow = crowd.add(Viewer(server.http, "live/cam", SLOW_BYTES_PER_S))
        time.sleep(TOGETHER_S)
        ended = time.monotonic()
        session = next(one for one in server.sessions() if one["role"] == "play" and one["dropped_frames"] > 0)

        lost = sum(viewer.lost() for viewer in good)
        assert lost == 0, f"the good viewers lost {lost} pictures"
        quiet = [delay for viewer in good for delay in viewer.delays_ms(began, joined)]
        together = [delay for viewer in good for delay in viewer.delays_ms(joined, ended)]
        gains = {name: of(together) - of(quiet) for name, of in (("median", statistics.median), ("p95", p95))}
        assert gains["median"] <= 50, f"the good viewers' latency rose by {gains['median']:.0f} ms"
        slow.bytes_per_s = FAST_BYTES_PER_S  # so that it comes to see what it was sent instead
        wait_for("a jump of the slow viewer", lambda: jumps_of(slow), 10)
        jumps = jumps_of(slow)
        assert all(is_key for _, _, is_key in jumps), "the slow viewer did not jump to a keyframe"
        return (f"{sum(len(viewer.tags) for viewer in good)} pictures, none lost, latency {gains['median']:+.1f} ms (p95 "
                f"{gains['p95']:+.1f}); the slow one: {len(jumps)} jumps, {session['dropped_frames']} drops counted")


def jumps_of(viewer):
    """The pictures before which something is missing."""
    return [b for a, b in zip(viewer.tags, viewer.tags[1:]) if b[1] - a[1] > 500]


def p95(values):
    return statistics.quantiles(values, n=20)[18]
