"""The programs of the SRT benches: servers, the bad network, ffmpeg as publisher and player, libsrt callers in number."""

import json
import os
import pathlib
import select
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "release"
PEERS = ROOT / "target" / "bench"
CLIPS = ROOT / ".cache" / "bench"
FFMPEG = ["ffmpeg", "-hide_banner", "-loglevel", "warning", "-nostdin", "-y"]
STREAM = "live/cam"
START_S = 60


def build(tokio=False):
    """Cruvz, the relay and the peers."""
    subprocess.run(["cargo", "build", "--release", "--locked", "-q", "-p", "cruvz-server", "-p", "cruvz-testnet"],
                   cwd=ROOT, check=True)
    build_peers(tokio)


def build_peers(tokio=False):
    subprocess.run([ROOT / "bench" / "peers" / "build", *(["--srt-tokio"] if tokio else [])], check=True)


def clip(kbps, seconds):
    """A transport stream of about that rate, made when it is not there yet: noisy pictures, so that the rate is needed and
    no two frames are equal; noise to hear; a key frame every two seconds."""
    path = CLIPS / f"{kbps}k-{seconds}s.ts"
    if not path.exists():
        CLIPS.mkdir(parents=True, exist_ok=True)
        part, video = path.with_suffix(".part"), f"{int(kbps * 0.94 - 136)}k"
        pictures = "testsrc2=size=640x360:rate=30,noise=alls=24:allf=t:all_seed=7"
        subprocess.run([*FFMPEG, "-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", "anoisesrc=r=48000:a=0.2:seed=7",
                        "-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
                        "-pix_fmt", "yuv420p", "-g", "60", "-sc_threshold", "0", "-b:v", video, "-maxrate", video,
                        "-bufsize", f"{kbps // 2}k", "-c:a", "aac", "-b:a", "128k", "-f", "mpegts", part], check=True)
        part.rename(path)
    return path


def wait_for(what, ready, deadline_s=20.0):
    """Returns what `ready` returns once that is something."""
    deadline = time.monotonic() + deadline_s
    while not (answer := ready()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {deadline_s:.0f} s in vain for {what}")
        time.sleep(0.05)
    return answer


class Program:
    """A program that runs, its complaints in a log, and ends with its `with` block: at the end of its standard input if
    that is open, else by a signal."""

    def __init__(self, log, command, prefix=(), **options):
        self.log = pathlib.Path(log)
        self.name = self.log.stem
        with self.log.open("wb") as complaints:
            self.process = subprocess.Popen([*prefix, *map(str, command)], stderr=complaints, text=True, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def check(self):
        """Fails when it has ended by itself."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} has ended: {self.log.read_text(errors='replace')[-2000:]}")

    def stop(self):
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        else:
            self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Spoken(Program):
    """One that says when it is ready, and what it has counted at the end of its standard input."""

    ready = ""

    def __init__(self, log, command, prefix=()):
        super().__init__(log, command, prefix, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        # Nothing has been read yet, so nothing hides in a buffer.
        spoke, _, _ = select.select([self.process.stdout], [], [], START_S)
        line = self.process.stdout.readline() if spoke else ""
        if self.ready not in line or not line:
            self.process.kill()
            raise RuntimeError(f"{self.name} is not ready: {self.log.read_text(errors='replace')[-2000:]}")

    def finish(self):
        """Ends it; what it said last, as JSON by the line."""
        self.process.stdin.close()
        said = [json.loads(line) for line in self.process.stdout]
        self.process.wait(15)
        return said


class Relay(Spoken):
    """The bad network in front of a port."""

    ready = "listening on"

    def __init__(self, folder, listen, target, seed, options):
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        super().__init__(folder / "relay.log", [RELEASE / "relay", "--listen", f"127.0.0.1:{listen}", "--target",
                                                f"127.0.0.1:{target}", "--seed", seed, *words])


class Libsrt(Spoken):
    """A relay on Debian's libsrt (bench/peers/srt_relay.c)."""

    ready = "listening"

    def __init__(self, folder, port, latency_ms, prefix=(), **_):
        super().__init__(folder / "server.log", [PEERS / "srt_relay", port, latency_ms], prefix)

    def pid(self):
        return self.process.pid

    def wait_live(self):
        """It lets players in before the publisher."""
        time.sleep(0.5)

    def publisher_counts(self):
        """What it has counted of its publisher; ends it."""
        return next((said for said in self.finish() if said["role"] == "publish"), {})


class Tokio(Spoken):
    """A relay on srt-tokio (bench/peers/srt-tokio-relay)."""

    ready = "listening"

    def __init__(self, folder, port, latency_ms, prefix=(), **_):
        super().__init__(folder / "server.log", [PEERS / "srt-tokio-relay", port, latency_ms], prefix)

    def pid(self):
        return self.process.pid

    def wait_live(self):
        time.sleep(0.5)

    def publisher_counts(self):
        self.finish()
        return {}


CRUVZ_CONFIG = """
[srt]
listen = "127.0.0.1:{port}"
[rtmp]
listen = ""
[http]
listen = "127.0.0.1:{http}"
[engine.srt]
gather_ms = {gather_ms}
"""


class Cruvz(Program):
    """cruvz-server as it comes, but for ports."""

    def __init__(self, folder, port, latency_ms=0, prefix=(), gather_ms=20):
        self.http = port + 1
        config = folder / "cruvz.toml"
        config.write_text(CRUVZ_CONFIG.format(port=port, http=self.http, gather_ms=gather_ms))
        super().__init__(folder / "server.log", [RELEASE / "cruvz-server", "--config", config], prefix,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_for("cruvz-server to listen", self.is_ready)
        except Exception:
            self.stop()
            raise

    def pid(self):
        return self.process.pid

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=5) as answer:
            return answer.read().decode()

    def items(self, path):
        return json.loads(self.get(path))["items"]

    def is_ready(self):
        self.check()
        try:
            return self.get("/readyz")
        except OSError:
            return None

    def sessions(self):
        return self.items("/api/v1/sessions?limit=1000")

    def streams(self):
        return self.items("/api/v1/streams")

    def metric(self, name):
        """A gauge without labels."""
        return next(float(line.split()[1]) for line in self.get("/metrics").splitlines() if line.startswith(f"{name} "))

    def vitals(self):
        """What a leak would show in."""
        proc = pathlib.Path(f"/proc/{self.pid()}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        return {
            "rss_kb": int(status["VmRSS"].split()[0]),
            "threads": int(status["Threads"]),
            "files": len(list((proc / "fd").iterdir())),
            "tasks": int(self.metric("cruvz_tasks")),
            "sessions": len(self.sessions()),
            "streams": len(self.streams()),
        }

    def wait_live(self):
        wait_for("the stream", lambda: any(stream["name"] == STREAM and stream["state"] == "live" for stream in self.streams()))

    def publisher_counts(self):
        """What it has counted of its publisher."""
        return next((session for session in self.sessions() if session["role"] == "publish"), {})


SERVERS = {"libsrt": Libsrt, "cruvz": Cruvz, "srt-tokio": Tokio}


def srt_url(port, stream_id, latency_ms):
    # ffmpeg counts its latency in microseconds and its patience in milliseconds.
    return (f"srt://127.0.0.1:{port}?streamid={stream_id}&latency={latency_ms * 1000}&pkt_size=1316"
            "&connect_timeout=10000")


def publish(folder, path, port, latency_ms, prefix=(), loop=False, stream=STREAM):
    """ffmpeg publishes a clip at its own pace."""
    again = ["-stream_loop", -1] if loop else []
    command = [*FFMPEG, "-re", *again, "-i", path, "-map", "0", "-c", "copy", "-f", "mpegts",
               srt_url(port, f"publish:{stream}", latency_ms)]
    log = folder / f"publisher-{stream.replace('/', '-')}.log"
    return Program(log, command, prefix, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def capture(folder, out, port, latency_ms):
    """ffmpeg plays, and writes what it gets byte for byte."""
    command = [*FFMPEG, "-f", "data", "-i", srt_url(port, f"read:{STREAM}", latency_ms), "-map", "0", "-c", "copy",
               "-f", "data", "-flush_packets", "1", out]
    return Program(folder / "player.log", command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


class Players(Spoken):
    """libsrt callers in one process (bench/peers/srt_players.c); ready when all have received something."""

    ready = '"receiving"'

    def __init__(self, folder, port, count, latency_ms, per_port=1, reconnects_per_minute=0, prefix=(), name="players"):
        super().__init__(folder / f"{name}.log", [PEERS / "srt_players", port, f"read:{STREAM}", count, latency_ms,
                                                  per_port, reconnects_per_minute], prefix)

    def totals(self):
        """What they have counted so far."""
        self.check()
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def write_between(document, mark, text):
    """Puts a text between the marks of a document."""
    begin, end = f"<!-- begin {mark} -->", f"<!-- end {mark} -->"
    whole = document.read_text()
    if begin not in whole or end not in whole:
        sys.exit(f"{document} has no place marked {begin} … {end}")
    before, rest = whole.split(begin)
    document.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")
    print(f"wrote {document.relative_to(ROOT)}")
