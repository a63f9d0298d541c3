"""The server under test: started on free ports with a configuration of its own, watched, and stopped."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

START_DEADLINE_S = 10
STOP_DEADLINE_S = 20


PORTS = set()


def free_port():
    """A port that is free over TCP and UDP, and given to nobody else."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            stream.bind(("127.0.0.1", 0))
            port = stream.getsockname()[1]
            try:
                datagrams.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in PORTS:
            PORTS.add(port)
            return port


def wait_for(what, condition, deadline_s):
    """Returns what `condition` returns as soon as that is true; fails after the deadline."""
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {deadline_s} s")


class Server:
    """`with Server(folder, "[engine.hub]\\ngrace_ms = 1000") as server:`"""

    def __init__(self, folder, config="", tls=False, max_files=None, host="127.0.0.1"):
        self.rtmp, self.http, self.rtmps, self.srt, self.webrtc = (free_port() for _ in range(5))
        self.log = Path(folder) / "server.log"
        self.max_files = max_files
        text = f'[rtmp]\nlisten = "{host}:{self.rtmp}"\n[http]\nlisten = "{host}:{self.http}"\n'
        text += f'[srt]\nlisten = "{host}:{self.srt}"\n[webrtc]\nlisten = "{host}:{self.webrtc}"\n'
        if tls:
            cert, key = certificate(folder)
            text += f'[rtmps]\nlisten = "127.0.0.1:{self.rtmps}"\n[tls]\ncert = "{cert}"\nkey = "{key}"\n'
        self.config = Path(folder) / "cruvz.toml"
        self.config.write_text(text + config)

    def __enter__(self):
        limit, self.crashed = self.max_files, False
        self.process = subprocess.Popen(
            [os.environ["CRUVZ_SERVER"], "serve", "--config", self.config, "--log-format", "json"],
            stdout=self.log.open("wb"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)) if limit else None,
        )
        try:
            wait_for("the server's start", self.is_ready, START_DEADLINE_S)
        except AssertionError:
            self.process.kill()
            raise
        return self

    def __exit__(self, kind, *_):
        if self.crashed:
            return
        self.assert_alive()
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGTERM)  # a second one: at once
        try:
            status = self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the server did not stop within {STOP_DEADLINE_S} s") from None
        assert kind or status == 0, f"the server's exit status is {status}"
        assert "panicked" not in self.log.read_text(errors="replace"), "something panicked"

    def crash(self):
        """Kills it as no program can prevent. It may be entered again."""
        self.process.kill()
        self.process.wait()
        self.crashed = True

    def recordings(self):
        return json.loads(self.get("/api/v1/recordings?limit=1000")[2])["items"]

    def assert_alive(self):
        status = self.process.poll()
        assert status is None, f"the server is gone, exit status {status}"

    def is_ready(self):
        self.assert_alive()
        try:
            return self.get("/readyz", timeout_s=1)[0] == 200
        except OSError:
            return False

    def get(self, path, timeout_s=5):
        """(status, headers, body) of an HTTP request."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}")
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def streams(self):
        return json.loads(self.get("/api/v1/streams")[2])["items"]

    def sessions(self):
        """All of them: pages have 1,000 at most."""
        items, after = [], ""
        while after is not None:
            page = json.loads(self.get(f"/api/v1/sessions?limit=1000{after and f'&after={after}'}")[2])
            items, after = items + page["items"], page.get("next")
        return items

    def metric(self, name, **labels):
        """The sum of the samples of a metric that have these labels."""
        total = 0.0
        for line in self.get("/metrics")[2].decode().splitlines():
            found = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
            if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
                total += float(found[2])
        return total

    def wait_live(self, name, deadline_s=15):
        wait_for(f"{name} going live", lambda: any(is_live(stream, name) for stream in self.streams()), deadline_s)

    def ended(self):
        """What the log says of each session that ended."""
        lines = (line for line in self.log.read_text(errors="replace").splitlines() if "session ended" in line)
        return [entry.get("fields", entry) for entry in map(json.loads, lines)]

    def rss_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def cpu_s(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rtmp_url(self, name):
        return f"rtmp://127.0.0.1:{self.rtmp}/{name}"

    def srt_url(self, name, mode="read", options=""):
        return f"srt://127.0.0.1:{self.srt}?streamid={mode}:{name}{options}"

    def whip_url(self, name):
        return f"http://127.0.0.1:{self.http}/whip/{name}"

    def whep_url(self, name):
        return f"http://127.0.0.1:{self.http}/whep/{name}"

    def urls(self, name):
        """Where a stream plays, by protocol."""
        return {
            "RTMP": self.rtmp_url(name),
            "RTMPS": f"rtmps://127.0.0.1:{self.rtmps}/{name}",
            "FLV": f"http://127.0.0.1:{self.http}/flv/{name}.flv",
            "SRT": self.srt_url(name),
            "TS": f"http://127.0.0.1:{self.http}/ts/{name}.ts",
            "HLS": f"http://127.0.0.1:{self.http}/hls/{name}/index.m3u8",
        }


def is_live(stream, name):
    return stream["name"] == name and stream["state"] == "live"


def certificate(folder):
    """A certificate for this machine, signed by itself."""
    cert, key = Path(folder) / "cert.pem", Path(folder) / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )
    return cert, key
