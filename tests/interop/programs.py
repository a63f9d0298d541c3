"""Programs that are not ffmpeg: GStreamer publishes and plays, OBS publishes."""

import json
import os
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from formats import CONFIG, WHOLE_S
from matrix import cell
from media import clip, compare, frames_in, frames_of, play, publish
from server import Server, free_port, wait_for

OBS_S = 20
OBS_START_S = 60


@contextmanager
def program(folder, name, command, **options):
    """A program that runs as long as its `with` block, its output in a log."""
    with (Path(folder) / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def gstreamer_remux(folder, path, *sink):
    """GStreamer turns a file into FLV and gives it to a sink."""
    tail = ["!", "queue", "!"]
    return program(folder, "gstreamer", [
        "gst-launch-1.0", "-q", "filesrc", f"location={path}", "!", "qtdemux", "name=from",
        "flvmux", "name=to", "streamable=true", "!", *sink,
        "from.video_0", *tail, "h264parse", "!", "to.", "from.audio_0", *tail, "aacparse", "!", "to.",
    ])


@cell("GStreamer rtmp2sink publishes h264-aac, ffmpeg plays by RTMP")
def gstreamer_publishes(folder):
    path, local = clip("h264-aac"), folder / "local.flv"
    with gstreamer_remux(folder, path, "filesink", f"location={local}") as to_file:
        assert to_file.wait(WHOLE_S) == 0, "GStreamer failed to write a file"
    with Server(folder, CONFIG) as server, play(folder, "viewer", server.rtmp_url("live/gst")) as viewer:
        wait_for("the viewer's session", server.sessions, 10)
        # `sync` makes the sink keep the file's pace, as a camera would.
        sink = ["rtmp2sink", f"location={server.rtmp_url('live/gst')}", "sync=true"]
        with gstreamer_remux(folder, path, *sink) as publisher:
            assert publisher.wait(WHOLE_S) == 0, "GStreamer failed to publish"
        viewer.wait(WHOLE_S)
        # GStreamer gives its first two audio frames the same time; nothing that plays can, so one frame has to move.
        return compare(frames_in(local), viewer.frames(), spread_s=0.025)


@cell("ffmpeg publishes h264-bframes-aac, GStreamer rtmp2src plays")
def gstreamer_plays(folder):
    path, out = clip("h264-bframes-aac"), folder / "played.flv"
    with Server(folder, CONFIG) as server, ExitStack() as stack:
        url = server.rtmp_url("live/cam")
        command = ["gst-launch-1.0", "-q", "rtmp2src", f"location={url}", "!", "filesink", f"location={out}"]
        viewer = stack.enter_context(program(folder, "gstreamer", command))
        wait_for("the viewer's session", server.sessions, 10)
        publisher = stack.enter_context(publish(folder, path, url))
        assert publisher.wait(WHOLE_S) == 0, "the publisher failed"
        viewer.wait(WHOLE_S)
        return compare(frames_of(path), frames_in(out))


def obs_settings(folder, url, name, source=None):
    """An OBS that has been set up once: a scene with a source in it, a clip unless told, and a custom server to stream to."""
    home = Path(folder) / "obs"
    basic = home / "config" / "obs-studio" / "basic"
    for part in ("profiles/Cruvz", "scenes"):
        (basic / part).mkdir(parents=True)
    (home / "run").mkdir(mode=0o700)
    (basic.parent / "global.ini").write_text(
        "[General]\nFirstRun=true\nEnableAutoUpdates=false\n"
        "[Basic]\nProfile=Cruvz\nProfileDir=Cruvz\nSceneCollection=Cruvz\nSceneCollectionFile=Cruvz\n"
        "[OBSWebSocket]\nFirstLoad=false\nServerEnabled=false\n"
    )
    (basic / "profiles/Cruvz/basic.ini").write_text(
        "[General]\nName=Cruvz\n[Video]\nBaseCX=640\nBaseCY=360\nOutputCX=640\nOutputCY=360\nFPSCommon=30\n"
        "[Output]\nMode=Simple\n[SimpleOutput]\nVBitrate=800\nABitrate=96\nStreamEncoder=x264\nPreset=ultrafast\n"
    )
    service = {"type": "rtmp_custom", "settings": {"server": url, "key": name, "use_auth": False, "bwtest": False}}
    (basic / "profiles/Cruvz/service.json").write_text(json.dumps(service))
    settings = source or {"local_file": str(clip("h264-aac")), "looping": True, "is_local_file": True}
    source = {"id": "ffmpeg_source", "versioned_id": "ffmpeg_source", "name": "Clip", "mixers": 255, "enabled": True,
              "settings": settings}
    item = {"name": "Clip", "id": 1, "visible": True, "pos": {"x": 0.0, "y": 0.0}, "scale": {"x": 2.0, "y": 2.0}, "align": 5}
    scene = {"id": "scene", "versioned_id": "scene", "name": "Scene", "settings": {"id_counter": 1, "items": [item]}}
    (basic / "scenes/Cruvz.json").write_text(json.dumps({
        "name": "Cruvz", "current_scene": "Scene", "current_program_scene": "Scene", "scene_order": [{"name": "Scene"}],
        "sources": [source, scene],
    }))
    return {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_RUNTIME_DIR": str(home / "run")}


@contextmanager
def obs(folder, settings):
    """An OBS that streams, on a screen of its own."""
    display = f":{free_port()}"
    screen = ["Xvfb", display, "-screen", "0", "1280x800x24", "+extension", "GLX", "-nolisten", "tcp"]
    environment = os.environ | settings | {"DISPLAY": display, "LIBGL_ALWAYS_SOFTWARE": "1", "QT_QPA_PLATFORM": "xcb"}
    command = ["obs", "--multi", "--startstreaming", "--profile", "Cruvz", "--collection", "Cruvz",
               "--minimize-to-tray", "--disable-missing-files-check"]
    with program(folder, "xvfb", screen), program(folder, "obs", command, env=environment):
        yield


@cell(f"OBS publishes for {OBS_S} s, ffmpeg plays by RTMP")
def obs_publishes(folder):
    with Server(folder) as server, ExitStack() as stack:
        stack.enter_context(obs(folder, obs_settings(folder, f"rtmp://127.0.0.1:{server.rtmp}/live", "obs")))
        server.wait_live("live/obs", OBS_START_S)
        return look(server, stack.enter_context(play(folder, "viewer", server.rtmp_url("live/obs"))))[1]


def look(server, viewer, seconds=OBS_S):
    """Watches for a while what OBS publishes as live/obs. Returns its pictures and the figures."""
    time.sleep(seconds)  # what is measured is this time
    info = next(stream for stream in server.streams() if stream["name"] == "live/obs")
    viewer.process.send_signal(signal.SIGINT)
    viewer.wait(10)
    frames = viewer.frames()
    video, audio = frames["video"], frames["audio"]
    assert info["state"] == "live", f"the stream is {info['state']}"
    # OBS drops pictures when it is starved of CPU, which is not ours to judge; the sound has no holes.
    assert len(video) >= seconds * 15, f"{len(video)} pictures in {seconds} s"
    hole = max(b.dts - a.dts for a, b in zip(audio, audio[1:]))
    assert hole <= 0.1 and len(audio) >= (seconds - 3) * 46, f"{len(audio)} audio frames, a hole of {hole:.3f} s"
    apart = abs(video[-1].dts - audio[-1].dts)
    assert apart <= 0.5, f"audio and video end {apart:.2f} s apart"
    return video, f"{len(video)} video + {len(audio)} audio frames, largest hole in the sound {hole * 1000:.0f} ms"
