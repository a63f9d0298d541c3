"""ffmpeg publishes and plays by SRT, and plays MPEG-TS over HTTP, across every protocol: each picture comes out as it went in, and no packet is missing."""

import subprocess
from contextlib import ExitStack

from formats import CONFIG, WHOLE_S
from matrix import cell
from media import FFMPEG, FFMPEG9, Run, clip, parse, publish
from server import Server, wait_for

# Times have 90 kHz in MPEG-TS and milliseconds in RTMP and FLV.
SPREAD_S = 0.0042
# Every picture that is decoded, at its own time.
EXACT = ["-fps_mode", "passthrough", "-copyts", "-enc_time_base", "1:90000"]
PASSPHRASE = "correct-horse-battery"
# What a demuxer says that misses something.
COMPLAINTS = ("Packet corrupt", "continuity", "corrupt decoded", "error while decoding", "concealing", "non monotonically")


def publish_srt(folder, path, url, program=FFMPEG):
    return Run(folder, "publisher", ["-re", "-i", path, "-c", "copy", "-f", "mpegts", url], program)


def play_decoded(folder, name, url, program=FFMPEG):
    """Notes each decoded picture and each stretch of sound until the stream ends."""
    start = ["-live_start_index", "0"] if url.endswith(".m3u8") else []
    return Run(folder, name, [*start, "-i", url, "-map", "0:v?", "-map", "0:a?", *EXACT, "-f", "framemd5",
                              "-flush_packets", "1", "-"], program)


def decoded(path, program):
    """The pictures and the sound of a clip, as MPEG-TS has them: without the edits of MP4."""
    ts = path.with_suffix(f".{'9' if program is FFMPEG9 else '5'}.ts")
    if not ts.exists():
        subprocess.run([program, "-v", "error", "-nostdin", "-y", "-i", path, "-c", "copy", ts], check=True, capture_output=True)
    command = [program, "-v", "error", "-i", ts, "-map", "0:v?", "-map", "0:a?", *EXACT, "-f", "framemd5", "-"]
    return parse(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare_decoded(sent, viewer, tail_s=0):
    """Fails unless every picture came as it was sent, in time, and the sound with it; but for the last `tail_s`."""
    got = viewer.frames()
    log = viewer.log.read_text(errors="replace")
    found = [line for line in log.splitlines() if any(complaint.lower() in line.lower() for complaint in COMPLAINTS)]
    assert not found, f"the viewer complains {len(found)} times: {found[0]}"
    assert sent.keys() == got.keys(), f"sent {list(sent)}, got {list(got)}"
    pictures, came = sent["video"], got["video"]
    assert came[0].md5 == pictures[0].md5, "the first picture is not the first"
    shift = came[0].pts - pictures[0].pts
    other = [number for number, (a, b) in enumerate(zip(pictures, came)) if a.md5 != b.md5]
    assert not other, f"{len(other)} pictures differ, the first is number {other[0]}"
    apart = [abs(b.pts - a.pts - shift) for a, b in zip(pictures, came)]
    until = pictures[-1].pts - tail_s
    assert came[-1].pts - shift >= until - SPREAD_S, f"{len(pictures)} pictures sent, {len(came)} came"
    sound, heard = sent.get("audio", []), got.get("audio", [])
    # Sound before the first picture need not come. Its samples are not compared: decoders put noise into it.
    wanted = [frame.pts + shift for frame in sound if pictures[0].pts < frame.pts <= until]
    for pts in wanted:
        apart.append(min((abs(frame.pts - pts) for frame in heard), default=1e9))
    assert max(apart) <= SPREAD_S, f"frames moved against each other, or are missing, by {max(apart) * 1000:.1f} ms"
    return f"{len(came)} of {len(pictures)} pictures equal, {len(heard)} of {len(sound)} stretches of sound, times within {max(apart) * 1000:.1f} ms"


def run(folder, name, program, publish_by, play_by, config="", options=""):
    path = clip(name)
    with ExitStack() as stack:
        server = stack.enter_context(Server(folder, CONFIG + config))
        urls = server.urls("live/cam") | {"SRT": server.srt_url("live/cam", options=options)}

        def view():
            return stack.enter_context(play_decoded(folder, play_by, urls[play_by], program))

        # The viewer comes first and waits, over SRT for 2.5 s; playlists wait for nobody.
        viewer = None
        if play_by != "HLS":
            viewer = view()
            wait_for("the viewer's session", server.sessions, 10)
        if publish_by == "SRT":
            publisher = publish_srt(folder, path, server.srt_url("live/cam", "publish", options), program)
        else:
            publisher = publish(folder, path, urls[publish_by], program)
        stack.enter_context(publisher)
        if viewer is None:
            server.wait_live("live/cam")
            viewer = view()
        assert publisher.wait(WHOLE_S) == 0, "the publisher failed"
        viewer.wait(WHOLE_S)
        # The goodbye of libsrt overtakes what it has still to send.
        return compare_decoded(decoded(path, program), viewer, tail_s=0.4 if publish_by == "SRT" else 0)


def register(program, name, publish_by, play_by, note="", **settings):
    version = "9" if program is FFMPEG9 else "5"
    cell(f"ffmpeg {version} publishes {name} by {publish_by}, plays by {play_by}{note}")(
        lambda folder: run(folder, name, program, publish_by, play_by, **settings)
    )


for program in (FFMPEG, FFMPEG9):
    for publish_by, play_by in (("SRT", "RTMP"), ("SRT", "FLV"), ("SRT", "HLS"), ("SRT", "SRT"), ("RTMP", "SRT"), ("RTMP", "TS"), ("SRT", "TS")):
        register(program, "h264-aac", publish_by, play_by)
register(FFMPEG, "h264-bframes-aac", "SRT", "SRT")
register(FFMPEG9, "hevc-aac", "SRT", "RTMP")
register(FFMPEG9, "hevc-aac", "RTMP", "SRT")
register(FFMPEG, "h264-bframes-aac", "RTMP", "TS")
register(FFMPEG9, "hevc-aac", "RTMP", "TS")
for key_bytes in (16, 32):
    encrypted = {"config": f'[engine.srt]\npassphrase = "{PASSPHRASE}"\n',
                 "options": f"&passphrase={PASSPHRASE}&pbkeylen={key_bytes}"}
    register(FFMPEG, "h264-aac", "SRT", "SRT", note=f", AES-{key_bytes * 8}", **encrypted)

