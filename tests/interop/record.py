"""Recordings: what is left of them when the server is killed, the disk is full, or the publisher comes back as another."""

import json
import os
import random
import subprocess
import threading
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

from matrix import cell
from media import FFMPEG9, clip, frames_in, frames_of, play, publish
from server import Server, wait_for

# How often the server is killed. Two hundred for a release; a few in every run.
KILLS = int(os.environ.get("CRUVZ_KILLS", "4"))
SEED = int(os.environ.get("CRUVZ_SEED", "5"))
# The bar is one part and 50 ms, for a machine that does nothing else; elsewhere the thread that writes may wait for its turn.
PART_S, MARGIN_S, FPS = 0.2, 0.05 if os.environ.get("STRICT") == "1" else 0.4, 30
# The last picture's own duration is known when the next one comes.
MAX_LOST = (PART_S + MARGIN_S) * FPS + 1
LOOP_FRAMES = 240


def config(folder, more=""):
    return f'[engine.record]\nfolder = "{folder}"\nalways = ["*"]\n{more}'


def recordings(command, folder):
    """Runs `cruvz-server recordings`; fails when it finds anything that is not whole."""
    done = subprocess.run([os.environ["CRUVZ_SERVER"], "recordings", command, folder], capture_output=True, text=True)
    assert done.returncode == 0, f"recordings {command}: {done.stdout}{done.stderr}"
    return done.stdout


def renditions(folder):
    """The folder of each recording's media, by stream name."""
    return {f"{main.parts[-4]}/{main.parts[-3]}": main for main in sorted(Path(folder).glob("*/*/*/main"))}


def frames_recorded(main, init=0):
    """What ffmpeg reads of a recording: its initialisation segment and the segments that need it, one behind the other."""
    files = [*main.glob(f"init-{init}-*.mp4"), *sorted(main.glob(f"*-i{init}-*.m4s"))]
    whole = main.parent / f"whole-{init}.mp4"
    whole.write_bytes(b"".join(file.read_bytes() for file in files))
    frames = frames_in(whole)
    whole.unlink()
    return frames


def assert_unbroken(path, frames):
    """Fails unless `frames` are those of the clip at `path`, over and over, none missing."""
    clip_md5 = [frame.md5 for frame in frames_of(path)["video"]]
    begin = clip_md5.index(frames[0].md5)
    for number, frame in enumerate(frames):
        expected = clip_md5[(begin + number) % len(clip_md5)]
        assert frame.md5 == expected, f"picture {number} of {len(frames)} is another than was published"


def lost(seen, recorded):
    """How many of the pictures that a viewer saw until the crash come after the last one recorded."""
    last, tail = recorded[-1].md5, [frame.md5 for frame in seen[-LOOP_FRAMES:]]
    if last in tail:
        return len(tail) - 1 - tail.index(last)
    assert tail[-1] in [frame.md5 for frame in recorded[-LOOP_FRAMES:]], "nothing recorded is near what a viewer saw last"
    return 0


def kill_once(folder, seconds, names):
    """Kills the server after so many seconds of recording. Returns the worst loss, in pictures."""
    store = folder / "store"
    with Server(folder, config(store)) as server, ExitStack() as stack:
        for number, (name, path) in enumerate(names.items()):
            (folder / str(number)).mkdir(exist_ok=True)
            stack.enter_context(publish(folder / str(number), path, server.rtmp_url(name), loop=-1))
        viewers = {}
        for number, name in enumerate(names):
            server.wait_live(name)
            viewers[name] = stack.enter_context(play(folder / str(number), "viewer", server.urls(name)["FLV"]))
        wait_for("recordings", lambda: len(server.recordings()) == len(names), 10)
        time.sleep(seconds)
        server.crash()
        for viewer in viewers.values():
            viewer.process.wait(10)
        recordings("repair", store)
        assert f"{len(names)} recordings are whole, 0 are not" in recordings("verify", store)
        worst = 0
        for name, main in renditions(store).items():
            recorded, seen = frames_recorded(main)["video"], viewers[name].frames()["video"]
            assert_unbroken(names[name], recorded)
            worst = max(worst, lost(seen, recorded))
    return worst


@cell(f"recording: killed {KILLS} times at any moment, what came before the last part plays")
def killed(folder):
    chance, losses = random.Random(SEED), []
    names = {"live/a": clip("h264-aac"), "live/b": clip("h264-bframes-aac")}
    for number in range(KILLS):
        attempt = folder / f"kill{number}"
        attempt.mkdir()
        losses.append(kill_once(attempt, chance.uniform(0.5, 6), names))
        assert losses[-1] <= MAX_LOST, f"kill {number}: {losses[-1]} pictures are lost, more than {MAX_LOST:.1f}"
    strict = sum(loss <= (PART_S + 0.05) * FPS + 1 for loss in losses)
    return (f"{max(losses)} pictures of 1/{FPS} s lost at most, {sum(losses) / len(losses):.1f} on average, within a part and 50 ms "
            f"{strict} of {KILLS} times; verify is clean after repair")


@cell("recording: killed and started again, it is mended by itself and plays as VoD")
def restarted(folder):
    store = folder / "store"
    server = Server(folder, config(store))
    with server, publish(folder, clip("h264-aac"), server.rtmp_url("live/cam"), loop=-1):
        wait_for("six seconds of recording", lambda: any(r["duration_ms"] >= 6000 for r in server.recordings()), 30)
        server.crash()
    with server:
        [recording] = server.recordings()
        assert (recording["state"], recording["reason"]) == ("ended", "interrupted"), recording
        url = f"http://127.0.0.1:{server.http}/vod/{recording['id']}/index.m3u8"
        video = frames_in(url)["video"]
        assert_unbroken(clip("h264-aac"), video)
        seconds = len(video) / FPS
        assert abs(seconds - recording["duration_ms"] / 1000) <= 0.05, f"{seconds} s of {recording}"
        assert recordings("verify", store)
        return f"{len(video)} pictures by HLS, {recording['duration_ms']} ms"


@contextmanager
def small_disk(folder, mib):
    """A tmpfs of so many MiB; `None` where this user may not mount one."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


class Events:
    """The server's events as they come, with the time of each."""

    def __init__(self, server):
        self.seen = []
        self.answer = urllib.request.urlopen(f"http://127.0.0.1:{server.http}/api/v1/events", timeout=120)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            for line in self.answer:
                if line.startswith(b"data: "):
                    self.seen.append((time.monotonic(), json.loads(line[6:])))
        except (OSError, ValueError, AttributeError):
            pass  # the server has gone

    def wait(self, kind, deadline_s):
        return wait_for(kind, lambda: next((e for e in self.seen if e[1]["type"] == kind), None), deadline_s)


@cell("recording: the disk is full, live goes on, the recording goes on when there is room")
def disk_full(folder):
    with small_disk(folder / "disk", 16) as disk:
        if disk is None:
            return "LEFT OUT: this user may not mount a tmpfs"
        ballast, path = disk / "ballast", clip("2mbit")
        ballast.write_bytes(bytes(13 << 20))
        store = disk / "store"
        with Server(folder, config(store, "min_free_bytes = 0\n")) as server:
            events = Events(server)
            with publish(folder, path, server.rtmp_url("live/cam"), loop=-1):
                server.wait_live("live/cam")
                with play(folder, "viewer", server.urls("live/cam")["FLV"]) as viewer:
                    full, event = events.wait("recording_failed", 40)
                    assert event["reason"] == "disk_full", event
                    written = max(file.stat().st_mtime for file in store.glob("*/*/*/main/*"))
                    late = time.time() - (time.monotonic() - full) - written
                    assert late <= 2, f"the event came {late:.2f} s after the last write"
                    [paused] = server.recordings()
                    assert paused["state"] == "paused", paused
                    time.sleep(5)
                    ballast.unlink()
                    freed = time.monotonic()
                    back, _ = events.wait("recording_resumed", 10)
                    time.sleep(3)
                    assert viewer.process.poll() is None, "the viewer has ended"
                    seen = viewer.frames()["video"]
                    assert_unbroken(path, seen)
            wait_for("the end", lambda: server.recordings()[0]["state"] == "ended", 30)
            [ended] = server.recordings()
        assert "1 recordings are whole" in recordings("verify", store)
        [main] = renditions(store).values()
        assert_unbroken(path, frames_recorded(main)["video"])
        return (f"told {late:.2f} s after the last write, on again {back - freed:.2f} s after there was room; {len(seen)} pictures live, "
                f"none missing; {ended['gaps']} gaps in {ended['duration_ms']} ms")


@cell("recording: a publisher comes back with another codec, and it stays one recording")
def other_codec(folder):
    store, hevc = folder / "store", clip("hevc-aac")
    with Server(folder, config(store, "[engine.hub]\ngrace_ms = 30000\n")) as server:
        with publish(folder, clip("h264-aac"), server.rtmp_url("live/cam"), loop=-1):
            server.wait_live("live/cam")
            wait_for("six seconds", lambda: any(r["duration_ms"] >= 6000 for r in server.recordings()), 30)
        time.sleep(1)  # long enough to be a gap
        with publish(folder, hevc, server.rtmp_url("live/cam"), FFMPEG9, loop=-1):
            wait_for("six seconds more", lambda: any(r["duration_ms"] >= 13000 for r in server.recordings()), 30)
        [recording] = server.recordings()
        id = recording["id"]
        request = urllib.request.Request(f"http://127.0.0.1:{server.http}/api/v1/recordings/{id}/stop", method="POST")
        ended = json.load(urllib.request.urlopen(request, timeout=10))
        assert (ended["state"], ended["gaps"]) == ("ended", 1), ended
        playlist = server.get(f"/vod/{id}/main.m3u8")[2].decode()
        assert playlist.count("#EXT-X-DISCONTINUITY\n") == 1 and playlist.count("#EXT-X-MAP") == 2, playlist
    recordings("verify", store)
    [main] = renditions(store).values()
    before, after = (frames_recorded(main, init)["video"] for init in (0, 1))
    assert_unbroken(clip("h264-aac"), before)
    seconds = (len(before) + len(after)) / FPS
    assert abs(seconds - ended["duration_ms"] / 1000) <= 0.1, f"{seconds} s of {ended}"
    return f"{len(before)} pictures of H.264, then {len(after)} of HEVC, one gap"
