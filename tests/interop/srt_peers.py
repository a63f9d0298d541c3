"""Programs that speak SRT: each publishes a clip, plays a stream, and says when the first of it came."""

import subprocess
import sys
from pathlib import Path

from media import FFMPEG, FFMPEG9, MAKING, Run, parse

ROOT = Path(__file__).resolve().parents[2]
# Built by `tests/interop/run --srt-tokio`.
SRT_TOKIO = ROOT / "target" / "bench" / "srt-tokio-caller"

sys.path.insert(0, str(ROOT / "bench"))
import transport_stream  # noqa: E402

PASSPHRASE = "correct-horse-battery"
# Decoded, as it comes, with its own times.
DECODED = ["-map", "0:v?", "-map", "0:a?", "-fps_mode", "passthrough", "-copyts", "-f", "framemd5", "-flush_packets", "1", "-"]
# What a demuxer says that misses something.
COMPLAINTS = ("packet corrupt", "continuity", "corrupt decoded", "error while decoding", "concealing", "non monotonically")

# Times have 90 kHz in MPEG-TS and milliseconds in RTMP and FLV.
SPREAD_S = 0.0042
# Stretches of sound at the start that a decoder may make otherwise.
SILENT = 6
# Pictures that even a player who comes late must see.
LATE_PICTURES = 60


class Process:
    """A program that runs as long as its `with` block, its complaints in a log, fed by another one where it needs that."""

    def __init__(self, folder, name, command, feeder=None, output=None):
        self.name, self.log = name, Path(folder) / f"{name}.log"
        self.output = output
        self.feeder = feeder and subprocess.Popen([*map(str, feeder)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                  stderr=subprocess.DEVNULL)
        with self.log.open("wb") as log, (output.open("wb") if output else self.log.open("ab")) as out:
            self.process = subprocess.Popen([*map(str, command)], stdout=out, stderr=log,
                                            stdin=self.feeder.stdout if feeder else subprocess.DEVNULL)
        if feeder:
            self.feeder.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in filter(None, (self.process, self.feeder)):
            process.kill()
            process.wait()

    def wait(self, deadline_s):
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {deadline_s} s") from None

    def lines(self):
        return self.log.read_text(errors="replace").splitlines()


class Recorder(Process):
    """Writes what it gets, byte by byte, into a file; judged when it is over."""

    def has_media(self):
        return self.output.stat().st_size > 0

    def frames(self):
        stream = transport_stream.read(self.output.read_bytes())
        assert stream.continuity_errors == 0, f"{stream.continuity_errors} continuity errors in {stream.packets} packets"
        command = [FFMPEG, "-v", "warning", "-i", self.output, *DECODED]
        decoded = subprocess.run(command, check=True, capture_output=True, text=True)
        self.log.write_text(self.log.read_text(errors="replace") + decoded.stderr)
        return parse(decoded.stdout)


class Decoder(Run):
    """An ffmpeg that decodes as it comes."""

    def __init__(self, folder, name, url, program=FFMPEG):
        start = ["-live_start_index", "0"] if url.endswith(".m3u8") else []
        super().__init__(folder, name, [*start, "-i", url, *DECODED], program)

    def has_media(self):
        return any(line[:1].isdigit() for line in self.output.read_text().splitlines())


def complaints(player):
    """What a player found fault with."""
    lines = player.log.read_text(errors="replace").splitlines()
    return [line for line in lines if any(complaint in line.lower() for complaint in COMPLAINTS)]


class Ffmpeg:
    def __init__(self, program):
        self.program, self.name = program, "ffmpeg 9" if program is FFMPEG9 else "ffmpeg 5"

    def publish(self, folder, path, url):
        return Run(folder, "publisher", ["-re", "-i", path, "-c", "copy", "-f", "mpegts", url], self.program)

    def play(self, folder, url):
        return Decoder(folder, "player", url, self.program)


class LiveTransmit:
    name = "srt-live-transmit"

    def publish(self, folder, path, url):
        return Process(folder, "publisher", live_transmit("file://con", url), feeder=paced(path))

    def play(self, folder, url):
        return Recorder(folder, "player", live_transmit(url, "file://con"), output=folder / "played.ts")


def live_transmit(source, target, *options):
    return ["srt-live-transmit", "-q", "-a:no", *options, source, target]


def paced(path):
    """MPEG-TS at the pace of a camera, for programs that send what they are given."""
    return [FFMPEG, "-v", "error", "-nostdin", "-re", "-i", path, "-c", "copy", "-f", "mpegts", "-flush_packets", "1", "pipe:1"]


class Gstreamer:
    name = "GStreamer"

    def publish(self, folder, path, url):
        tail = ["!", "queue", "!"]
        return Process(folder, "publisher", [
            "gst-launch-1.0", "-q", "filesrc", f"location={path}", "!", "qtdemux", "name=from",
            # `sync` makes the sink keep the file's pace.
            "mpegtsmux", "name=to", "alignment=7", "!", "srtsink", f"uri={url}", "sync=true",
            "from.video_0", *tail, "h264parse", "!", "to.", "from.audio_0", *tail, "aacparse", "!", "to.",
        ])

    def play(self, folder, url):
        out = folder / "played.ts"
        return Recorder(folder, "player", ["gst-launch-1.0", "-q", "srtsrc", f"uri={url}", "auto-reconnect=false", "!",
                                           "filesink", f"location={out}", "buffer-mode=unbuffered"], output=out)


class SrtTokio:
    name = "srt-tokio"

    def publish(self, folder, path, url):
        return Process(folder, "publisher", [SRT_TOKIO, url], feeder=paced(path))

    def play(self, folder, url):
        return Recorder(folder, "player", [SRT_TOKIO, url], output=folder / "played.ts")


def decoded(path, program=FFMPEG):
    """The pictures and the sound of a clip, as MPEG-TS has them: without the edits of MP4."""
    with MAKING:
        ts = path.with_suffix(f".{'9' if program is FFMPEG9 else '5'}.ts")
        if not ts.exists():
            subprocess.run([program, "-v", "error", "-nostdin", "-y", "-i", path, "-c", "copy", ts], check=True, capture_output=True)
    return parse(subprocess.run([program, "-v", "error", "-i", ts, *DECODED], check=True, capture_output=True, text=True).stdout)


def compare(sent, player, late=False):
    """Fails unless every picture came as it was sent, in time, and the sound with it. Who comes late begins at a keyframe."""
    got, found = player.frames(), complaints(player)
    assert not found, f"the player complains {len(found)} times: {found[0]}"
    assert sent.keys() == got.keys(), f"sent {list(sent)}, got {list(got)}"
    pictures, sounds = sent.get("video", []), sent.get("audio", [])
    if late:
        pictures = since(pictures, got["video"])
        sounds = [sound for sound in sounds if sound.pts >= pictures[0].pts]
    come = got.get("video", [])
    assert len(come) == len(pictures), f"{len(pictures)} pictures sent, {len(come)} came"
    other = [number for number, (a, b) in enumerate(zip(pictures, come)) if a.md5 != b.md5]
    assert not other, f"{len(other)} pictures differ, the first is number {other[0]}"
    shifts = [b.pts - a.pts for a, b in zip(pictures, come)]
    # A decoder begins with silence of its own length.
    places = {frame.md5: frame.pts for frame in got.get("audio", [])}
    heard = [places[sound.md5] - sound.pts for sound in sounds if sound.md5 in places]
    assert len(heard) >= len(sounds) - SILENT, f"{len(sounds)} stretches of sound sent, {len(heard)} came"
    shifts += heard
    spread = max(shifts) - min(shifts)
    assert spread <= 2 * SPREAD_S, f"frames moved against each other by {spread * 1000:.1f} ms"
    return f"{len(come)} pictures equal, {len(heard)} of {len(sounds)} sounds, 0 continuity errors, times within {spread * 500:.1f} ms"


def since(pictures, come):
    """The pictures from the first on that came."""
    first = next((number for number, picture in enumerate(pictures) if picture.md5 == come[0].md5), None)
    assert first is not None, "the first picture that came was never sent"
    assert first <= len(pictures) - LATE_PICTURES, f"the first picture that came is number {first} of {len(pictures)}"
    return pictures[first:]
