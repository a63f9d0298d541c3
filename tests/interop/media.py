"""What ffmpeg does for the tests: makes clips, publishes them, plays streams, and says which frames went by."""

import subprocess
import threading
from collections import namedtuple
from pathlib import Path

import imageio_ffmpeg

FFMPEG = "ffmpeg"
# The only one here that writes and reads Enhanced RTMP. A test tool, never shipped.
FFMPEG9 = imageio_ffmpeg.get_ffmpeg_exe()
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "interop"
# RTMP and FLV count milliseconds: each time is off by up to half of one, in and out.
TIME_TOLERANCE_S = 0.0021
LATE_START_S = 0.33

MAKING = threading.Lock()

Frame = namedtuple("Frame", "pts dts md5")

SOURCE = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", "-f", "lavfi", "-i", "sine=sample_rate=48000:beep_factor=4"]
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "30", "-sc_threshold", "0", "-b:v", "400k"]
AAC = ["-c:a", "aac", "-b:a", "96k", "-ac", "2"]
X265 = "log-level=none:keyint=30:min-keyint=30:scenecut=0:bframes=2"
# name: (seconds, who encodes, with what)
CLIPS = {
    "h264-aac": (8, FFMPEG, [*X264, "-bf", "0", *AAC]),
    "h264-bframes-aac": (8, FFMPEG, [*X264, "-bf", "3", *AAC]),
    "h264-only": (6, FFMPEG, [*X264, "-bf", "0", "-an"]),
    "aac-only": (6, FFMPEG, ["-vn", *AAC]),
    "hevc-aac": (8, FFMPEG9, ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", X265, "-tag:v", "hvc1", *AAC]),
    "av1-opus": (8, FFMPEG9, ["-c:v", "libsvtav1", "-preset", "10", "-crf", "50", "-g", "30", "-pix_fmt", "yuv420p",
                              "-c:a", "libopus", "-b:a", "64k", "-ac", "2"]),
    "h264-opus": (6, FFMPEG, [*X264, "-bf", "0", "-c:a", "libopus", "-b:a", "64k", "-ac", "2"]),
    "h264-mp3": (6, FFMPEG, [*X264, "-bf", "0", "-c:a", "libmp3lame", "-b:a", "96k", "-ac", "2"]),
    "h264-ac3": (6, FFMPEG, [*X264, "-bf", "0", "-c:a", "ac3", "-b:a", "128k", "-ac", "2"]),
    "2mbit": (30, FFMPEG, [*X264, "-bf", "0", "-b:v", "2M", "-minrate", "2M", "-maxrate", "2M", "-bufsize", "1M",
                           "-nal-hrd", "cbr", *AAC]),
}


def clip(name):
    """The path of a clip, which is made when it is not there yet."""
    path = CACHE / f"{name}.mp4"
    with MAKING:
        if path.exists():
            return path
        seconds, program, encoding = CLIPS[name]
        CACHE.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.mp4")
        subprocess.run([program, "-v", "error", "-nostdin", "-y", *SOURCE, "-t", str(seconds), *encoding, part], check=True,
                       capture_output=True)
        part.rename(path)
    return path


class Run:
    """An ffmpeg that runs, its complaints in a log. Ends with its `with` block."""

    def __init__(self, folder, name, arguments, program=FFMPEG):
        self.output, self.log = Path(folder) / f"{name}.frames", Path(folder) / f"{name}.log"
        self.process = subprocess.Popen(
            [program, "-hide_banner", "-loglevel", "warning", "-nostdin", *map(str, arguments)],
            stdout=self.output.open("wb"), stderr=self.log.open("wb"), stdin=subprocess.DEVNULL,
        )
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def wait(self, deadline_s):
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {deadline_s} s") from None

    def frames(self):
        return parse(self.output.read_text())


def publish(folder, path, url, program=FFMPEG, loop=0):
    return Run(folder, "publisher", ["-re", "-stream_loop", loop, "-i", path, "-c", "copy", "-f", "flv", url], program)


def play(folder, name, url, program=FFMPEG):
    """Notes each frame of a stream, as it came, until the stream ends. HLS begins at the first segment there is."""
    start = ["-live_start_index", "0"] if url.endswith(".m3u8") else []
    return Run(folder, name, [*start, "-i", url, "-map", "0:v?", "-map", "0:a?", "-c", "copy", "-copyts", "-f", "framemd5",
                              "-flush_packets", "1", "-"], program)


def frames_of(path, program=FFMPEG):
    """The frames that `program` sends when it publishes a file: as FLV, which has its own ways with what comes before zero."""
    flv = path.with_suffix(f".{'9' if program is FFMPEG9 else '5'}.flv")
    if not flv.exists():
        command = [program, "-v", "error", "-nostdin", "-y", "-i", path, "-c", "copy", "-f", "flv", flv]
        subprocess.run(command, check=True, capture_output=True)
    return frames_in(flv)


def frames_in(path):
    """The frames of a file."""
    command = [FFMPEG9, "-v", "error", "-i", path, "-map", "0:v?", "-map", "0:a?", "-c", "copy", "-copyts", "-f", "framemd5", "-"]
    return parse(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def parse(text):
    """ffmpeg's framemd5 to {"video": [Frame], "audio": [Frame]}, times in seconds."""
    kinds, scales, frames = {}, {}, {}
    for line in text.splitlines():
        if line.startswith("#tb "):
            number, scale = line[4:].split(": ")
            numerator, denominator = map(int, scale.split("/"))
            scales[number] = numerator / denominator
        elif line.startswith("#media_type "):
            number, kind = line[12:].split(": ")
            kinds[number] = kind
        elif not line.startswith("#") and line.count(",") >= 5:
            # What may follow is data beside the frame.
            number, dts, pts, _, _, md5 = (field.strip() for field in line.split(",")[:6])
            frame = Frame(int(pts) * scales[number], int(dts) * scales[number], md5)
            frames.setdefault(kinds[number], []).append(frame)
    return frames


def compare(sent, got, spread_s=2 * TIME_TOLERANCE_S):
    """Fails unless the same frames came, each as much later as all the others. Returns the figures.

    A viewer starts at a keyframe: sound before the first picture need not come. A stream without pictures starts wherever the
    viewer, who has waited, is woken: within a third of a second.
    """
    assert sent.keys() == got.keys(), f"sent {list(sent)}, got {list(got)}"
    start = sent["video"][0].pts if "video" in sent else sent["audio"][0].pts + LATE_START_S
    figures, shifts = [], []
    for kind, frames in sent.items():
        come = got[kind]
        absent = len(frames) - len(come)
        early = sum(frame.pts <= start for frame in frames) if kind == "audio" else 0
        assert 0 <= absent <= early, f"{len(frames)} {kind} frames sent, {len(come)} came"
        frames = frames[absent:]
        other = [number for number, (a, b) in enumerate(zip(frames, come)) if a.md5 != b.md5]
        assert not other, f"{len(other)} {kind} frames differ, the first is number {other[0]}"
        assert all(a.dts <= b.dts for a, b in zip(come, come[1:])), f"{kind} times go back"
        shifts += [b.pts - a.pts for a, b in zip(frames, come)]
        figures.append(f"{len(come)} {kind}" + (f" ({absent} before the start)" if absent else ""))
    spread = max(shifts) - min(shifts)
    assert spread <= spread_s, f"frames moved against each other by {spread * 1000:.1f} ms"
    return f"{' + '.join(figures)} frames equal, times within {spread * 500:.1f} ms"
