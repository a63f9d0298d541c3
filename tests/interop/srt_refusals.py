"""Who is not let in over SRT learns why, by the code that libsrt reads."""

import signal
from contextlib import ExitStack

from matrix import cell
from server import Server, wait_for
from srt_client import ACCEPTED, FILE, Caller, code
from srt_peers import PASSPHRASE, Process, live_transmit

KEY = "the-right-long-key"
FEC = "fec,cols:5,rows:5"
SAID_S = 10


def check(port, expected):
    """Calls as each row says; fails unless each gets its code. Returns them all."""
    for what, want, options in expected:
        got = code(port, **options)
        assert got == want, f"{what}: {got}, want {want}"
    return ", ".join(f"{what} {want}" for what, want, _ in expected)


@cell("SRT refuses passphrases", beside=True)
def passphrases(folder):
    with Server(folder, f'[engine.srt]\npassphrase = "{PASSPHRASE}"\n') as server:
        publish = {"stream_id": "publish:live/cam"}
        wanted = check(server.srt, [
            ("another passphrase", 10, publish | {"passphrase": "another-horse"}),
            ("none where one is wanted", 11, publish),
            *((f"the right one, AES-{8 * size}", ACCEPTED, publish | {"passphrase": PASSPHRASE, "key_bytes": size})
              for size in (16, 24, 32)),
        ])
    with Server(folder) as server:
        return f"{wanted}, " + check(server.srt, [("one where none is wanted", 11, publish | {"passphrase": PASSPHRASE})])


@cell("SRT refuses stream ids, keys and what live mode has not", beside=True)
def stream_ids(folder):
    with Server(folder, f'[access]\nrequire_key = true\n[[publish]]\nkey = "{KEY}"\nstreams = ["live/*"]\n') as server:
        right = f"publish:live/cam?key={KEY}"
        return check(server.srt, [
            ("no stream id", 1400, {}),
            ("no name", 1400, {"stream_id": "publish:"}),
            ("a bad name", 1400, {"stream_id": "publish:live/../cam"}),
            ("half a syntax", 1400, {"stream_id": "#!::r"}),
            ("both ways", 1405, {"stream_id": "#!::r=live/cam,m=bidirectional"}),
            ("another mode", 1405, {"stream_id": "#!::r=live/cam,m=record"}),
            ("no key", 1401, {"stream_id": "publish:live/cam"}),
            ("a wrong key", 1403, {"stream_id": "#!::r=live/cam,m=publish,key=wrong"}),
            ("a key for other streams", 1403, {"stream_id": f"publish:other/cam?key={KEY}"}),
            ("nobody publishes it", 1404, {"stream_id": "read:live/cam"}),
            ("file mode", 12, {"stream_id": right, "transmission": FILE}),
            ("messages in file mode", 13, {"stream_id": right, "transmission": FILE, "message_api": 1}),
            ("FEC", 14, {"stream_id": right, "filter": FEC}),
            ("the right key", ACCEPTED, {"stream_id": right}),
        ])


@cell("SRT refuses a second publisher, and more than its limits", beside=True)
def limits(folder):
    with Server(folder, "[engine.hub]\nmax_streams = 1\n") as server:
        with Caller(server.srt, stream_id="publish:live/cam") as first:
            assert first.code == ACCEPTED, first.code
            said = check(server.srt, [("already publishing", 1409, {"stream_id": "publish:live/cam"}),
                                      ("one stream too many", 1402, {"stream_id": "publish:live/other"})])
    with Server(folder, "[engine.addresses]\nlimit_loopback = true\nmax_sessions = 1\n") as server:
        with Caller(server.srt, stream_id="publish:live/cam"):
            said += ", " + check(server.srt, [("one session too many", 1402, {"stream_id": "publish:live/other"})])
    with Server(folder, "[engine.addresses]\nlimit_loopback = true\nconnections_per_s = 1\nconnection_burst = 4\n") as server:
        codes = [code(server.srt, stream_id="publish:") for _ in range(8)]
        assert codes[0] == 1400 and codes[-1] == 1402, f"eight calls at once get {codes}"
    return f"{said}, too many calls 1402"


@cell("SRT refuses who comes while the server shuts down", beside=True)
def draining(folder):
    with Server(folder) as server, ExitStack() as stack:
        publisher = stack.enter_context(Caller(server.srt, stream_id="publish:live/cam"))
        assert publisher.code == ACCEPTED, publisher.code
        server.process.send_signal(signal.SIGTERM)
        wait_for("the end of being ready", lambda: server.get("/readyz")[0] == 503, 5)
        return check(server.srt, [("shutting down", 1503, {"stream_id": "publish:live/other"})])


@cell("srt-live-transmit says why it is refused", beside=True)
def said(folder):
    with Server(folder, f'[engine.srt]\npassphrase = "{PASSPHRASE}"\n') as server:
        url = server.srt_url("live/cam", "publish", "&passphrase=another-horse")
        command = live_transmit("file://con", url, "-loglevel:note")
        with Process(folder, "refused", command, feeder=["sleep", str(SAID_S)]) as refused:
            line = wait_for("the refusal", lambda: next((line for line in refused.lines() if "REJECT" in line), None), SAID_S)
        assert "Incorrect passphrase" in line, line
        return line.split("REJECT", 1)[1].strip()
