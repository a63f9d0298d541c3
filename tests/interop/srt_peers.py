"""Programs that speak SRT: each publishes a clip, plays a stream, and says when the first of it came."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from media import FFMPEG, FFMPEG9, MAKING, Run, parse

ROOT = Path(__file__).resolve().parents[2]
# Where `tests/interop/run --srt-tokio` has built it.
SRT_TOKIO = os.environ.get("SRT_TOKIO")

sys.path.insert(0, str(ROOT / "bench"))
import transport_stream  # noqa: E402

PASSPHRASE = "correct-horse-battery"
# Pictures are decoded, since each format frames them in its own way; sound is not, since decoders begin differently in the middle.
# Times are the stream's own.
FRAMES = ["-map", "0:v?", "-map", "0:a?", "-fps_mode", "passthrough", "-copyts", "-enc_time_base:v", "1/90000", "-c:a", "copy"]
DIGESTS = ["-f", "framemd5", "-flush_packets", "1", "-"]
# Long enough to know the codecs, and no longer.
PROBE = ["-analyzeduration", "500000"]
# What a demuxer says that misses something.
COMPLAINTS = ("packet corrupt", "continuity", "corrupt decoded", "error while decoding", "concealing", "non monotonically")

# Times have 90 kHz in MPEG-TS and milliseconds in RTMP and FLV.
SPREAD_S = 0.0042
# What a frame of sound lasts at most.
SOUND_S = 0.03
# The fewest frames of a kind that are worth a verdict.
PIECE = 60
# How long a program that sends sends nothing only if it has nothing.
SETTLE_S = 0.5
# Pictures that may be torn from each other where a stream ends anywhere.
RAGGED = 4
NAMES = {"video": "pictures", "audio": "sounds"}


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

    def watch(self, server, deadline_s):
        """Waits for the end of a publisher; says what the server knew of it last. Some do not end with their input."""
        seen, until = None, time.monotonic() + deadline_s
        while self.process.poll() is None:
            assert time.monotonic() < until, f"{self.name} still runs after {deadline_s} s"
            now = next((session for session in server.sessions() if session["role"] == "publish"), seen)
            if self.feeder and self.feeder.poll() is not None and now["bytes"] == seen["bytes"]:
                self.process.send_signal(signal.SIGINT)
            seen = now
            time.sleep(SETTLE_S)
        return seen

    def lines(self):
        return self.log.read_text(errors="replace").splitlines()


def digests(aac=True):
    """What makes ffmpeg say which frames there are; AAC as it is without the headers that MPEG-TS wants."""
    return [*FRAMES, *(["-bsf:a", "aac_adtstoasc"] if aac else []), *DIGESTS]


class Recorder(Process):
    """Writes what it gets, byte by byte, into a file; judged when it is over."""

    def has_media(self):
        return self.output.stat().st_size > 0

    def frames(self):
        stream = transport_stream.read(self.output.read_bytes())
        assert stream.continuity_errors == 0, f"{stream.continuity_errors} continuity errors in {stream.packets} packets"
        command = [FFMPEG, "-v", "warning", "-i", self.output, *digests()]
        decoded = subprocess.run(command, check=True, capture_output=True, text=True)
        self.log.write_text(self.log.read_text(errors="replace") + decoded.stderr)
        return parse(decoded.stdout)


class Decoder(Run):
    """An ffmpeg that decodes as it comes."""

    def __init__(self, folder, name, url, program=FFMPEG, aac=True):
        start = ["-live_start_index", "0"] if url.endswith(".m3u8") else []
        super().__init__(folder, name, [*PROBE, *start, "-i", url, *digests(aac)], program)

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
        return Process(folder, "publisher", [self.program, "-v", "warning", "-nostdin", "-re", "-i", path, "-c", "copy", "-f",
                                             "mpegts", url])

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


def sent(path, program=FFMPEG):
    """The frames of a clip, with the times they have in MPEG-TS: without the edits of MP4."""
    with MAKING:
        ts = path.with_suffix(f".{'9' if program is FFMPEG9 else '5'}.ts")
        if not ts.exists():
            subprocess.run([program, "-v", "error", "-nostdin", "-y", "-i", path, "-c", "copy", ts], check=True, capture_output=True)
    command = [program, "-v", "error", "-i", ts, *digests(path.stem.endswith("aac"))]
    return parse(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(sent, player, late=False, tail_s=0):
    """Fails unless every picture and every sound came as it was sent, and in time.

    Who comes `late` begins at a keyframe, and sound before the first picture need not come. Where the publisher itself may
    lose its end, `tail_s` of it may be absent.
    """
    got, found = player.frames(), complaints(player)
    if tail_s:
        # Of the last picture a part may have come. That all others are whole is seen below.
        found = [line for line in found if not re.search(r"error while decoding MB|corrupt decoded frame", line)]
    assert not found, f"the player complains {len(found)} times: {found[0]}"
    assert sent.keys() == got.keys(), f"sent {list(sent)}, got {list(got)}"
    figures, shifts, start = [], [], None
    for kind in ("video", "audio"):
        if kind not in sent:
            continue
        first, count = place(sent[kind], got[kind], kind, bool(tail_s))
        here = sent[kind][first : first + count]
        start = here[0].pts if start is None else start
        # Sound before the first picture is let in with it.
        shifts += [b.pts - a.pts for a, b in zip(here, got[kind]) if a.pts >= start]
        assert late or first == 0 or here[0].pts <= start + SOUND_S, f"{kind}: the first {first} of {len(sent[kind])} did not come"
        absent = sent[kind][-1].pts - here[-1].pts
        assert absent <= tail_s, f"{kind}: the last {absent:.2f} s did not come"
        figures.append(f"{len(here)} of {len(sent[kind])} {NAMES[kind]}")
    spread = max(shifts) - min(shifts)
    assert spread <= 2 * SPREAD_S, f"frames moved against each other by {spread * 1000:.1f} ms"
    return f"{' and '.join(figures)} in one piece, times within {spread * 500:.1f} ms"


def place(sent, got, kind, ragged):
    """(where in `sent` the frames begin that came, how many they are): one piece of it, each as it was.

    With a `ragged` end some of the last may lack: frames are sent in another order than they are shown.
    """
    assert len(got) >= PIECE, f"only {len(got)} of {kind} came"
    came = [frame.md5 for frame in got]
    digests = [frame.md5 for frame in sent]
    for count in range(len(came), len(came) - (RAGGED if ragged else 0) - 1, -1):
        for first in range(len(digests) - count + 1):
            if digests[first : first + count] == came[:count]:
                return first, count
    known = [digests.index(digest) if digest in digests else None for digest in came]
    breaks = [f"{a} then {b}" for a, b in zip(known, known[1:]) if None in (a, b) or b != a + 1]
    raise AssertionError(f"{kind}: {len(came)} of {len(digests)} came, not in one piece: number {'; '.join(breaks[:3])}")
