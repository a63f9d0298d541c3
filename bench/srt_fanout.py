"""One SRT publisher and many players, which are real libsrt callers: what the server spends on them, and what they miss."""

import contextlib
import pathlib
import re
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass

import srt_peers as peers

SERVERS = ["libsrt", "srt-tokio", "cruvz"]
LATENCY_MS = 120
SECONDS = 8.0
CLIP_S = 30
# After all have joined: what they missed at first has been repeated by then.
CALM_S = 1.5
# A server may keep as much of the stream, once for all viewers: two seconds, and two more up to the next key frame.
FILL_S = 8.0


@dataclass
class Scenario:
    """One kind of audience."""

    name: str
    title: str
    viewers: int
    kbps: int
    gather_ms: int = 20  # of Cruvz; the others do not gather
    per_port: int = 1  # callers that share a UDP port, so that the threads of libsrt do not eat the load's core
    servers: tuple = tuple(SERVERS)
    seconds: float = SECONDS
    # CPU s/GB, KB per viewer, packets dropped: the most that Cruvz may have.
    goal: tuple = (3.0, 16.0, 0)
    quick: bool = False


SCENARIOS = [
    Scenario("srt-50", "50 SRT viewers of 4 Mbit/s", 50, 4000, quick=True),
    Scenario("srt-500", "500 SRT viewers of 1 Mbit/s", 500, 1000, per_port=10),
]


def prepare(scenarios, servers, build):
    """Builds what is measured against, if so wished, and makes the clips."""
    if scenarios and build:
        peers.build_peers(tokio="srt-tokio" in servers)
    for scenario in scenarios:
        peers.clip(scenario.kbps, CLIP_S)


def cpu_s(pid):
    """CPU time of all threads, by the scheduler's own count."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def rss_kb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def measure(server_prefix, load_prefix, scenario, server_name, seconds, port):
    """One run: its figures."""
    with tempfile.TemporaryDirectory(prefix="cruvz-srt-fanout-") as folder, contextlib.ExitStack() as stack:
        folder, path = pathlib.Path(folder), peers.clip(scenario.kbps, CLIP_S)
        kind = peers.SERVERS[server_name]
        server = stack.enter_context(kind(folder, port, LATENCY_MS, prefix=server_prefix, gather_ms=scenario.gather_ms))
        publisher = stack.enter_context(peers.publish(folder, path, port, LATENCY_MS, prefix=load_prefix, loop=True))
        server.wait_live()
        # One comes first, so that what all viewers share is there before they are weighed.
        stack.enter_context(peers.Players(folder, port, 1, LATENCY_MS, prefix=load_prefix, name="first"))
        time.sleep(FILL_S)
        pid, rss_before = server.pid(), rss_kb(server.pid())
        players = stack.enter_context(
            peers.Players(folder, port, scenario.viewers, LATENCY_MS, scenario.per_port, prefix=load_prefix))
        time.sleep(CALM_S)
        began, load_before, before = cpu_s(pid), cpu_s(players.process.pid), players.totals()
        start = time.monotonic()
        time.sleep(seconds)
        spent, load_spent, after = cpu_s(pid), cpu_s(players.process.pid), players.totals()
        took, rss = time.monotonic() - start, rss_kb(pid)
        publisher.check()
    window = {name: after[name] - before[name] for name in after}
    return {
        # The first viewer gets its share of the bytes, and of the CPU time.
        "cpu": (spent - began) / window["bytes"] * scenario.viewers / (scenario.viewers + 1) * 1e9 if window["bytes"] else None,
        "user": (rss - rss_before) / scenario.viewers,
        "mbit": window["bytes"] * 8 / took / scenario.viewers / 1e6,
        "dropped": window["dropped"],
        "dropped_before": before["dropped"],
        "lost": window["lost"],
        "belated": window["belated"],
        "continuity_errors": window["continuity_errors"],
        "broken": after["broken"] + after["failed"],
        "first": (before["first_ms_mean"], before["first_ms_most"]),
        "load": (load_spent - load_before) / took * 100,
    }


def line(run):
    """A run in a line."""
    return (f"{run['cpu']:6.2f} s/GB  {run['user']:7.1f} KB  dropped {run['dropped']} (joining {run['dropped_before']})  "
            f"lost {run['lost']}  first {run['first'][0]} ms  load {run['load']:.0f} %") if run["cpu"] else "nothing received"


def middle(runs, name):
    values = [run[name] for run in runs if run[name] is not None]
    return statistics.median(values) if values else None


def table(scenario, results):
    """One scenario as Markdown."""
    head = ["", "CPU s/GB", "× libsrt", "KB per viewer", "Mbit/s each", "packets dropped (while joining)", "lost, then repeated",
            "late or twice", "TS continuity errors", "cut off", "first packet mean / most ms", "load's CPU"]
    lines = [f"### {scenario.title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row(name, runs, results.get("libsrt"))) + " |" for name, runs in results.items() if runs]
    return "\n".join([*lines, "", verdict(scenario, results.get("cruvz")), ""])


def row(name, runs, libsrt):
    """One server's figures as cells."""
    costs = sorted(run["cpu"] for run in runs if run["cpu"] is not None)
    cost = middle(runs, "cpu")
    spread = f" ({costs[0]:.2f} to {costs[-1]:.2f})" if len(costs) > 1 else ""
    reference = middle(libsrt, "cpu") if libsrt and name != "libsrt" else None
    total = {key: sum(run[key] for run in runs) for key in
             ("dropped", "dropped_before", "lost", "belated", "continuity_errors", "broken")}
    return [
        f"**{name}**" if name == "cruvz" else name,
        f"{cost:.2f}{spread}" if cost else "",
        f"{cost / reference:.2f}" if cost and reference else "",
        f"{middle(runs, 'user'):.1f}",
        f"{middle(runs, 'mbit'):.2f}",
        f"{total['dropped']} ({total['dropped_before']})",
        *(str(total[key]) for key in ("lost", "belated", "continuity_errors", "broken")),
        " / ".join(f"{statistics.median(run['first'][part] for run in runs):.0f}" for part in (0, 1)),
        f"{middle(runs, 'load'):.0f} %",
    ]


def verdict(scenario, runs):
    """Whether the goals are met."""
    if not runs or middle(runs, "cpu") is None:
        return ""
    cost, memory, dropped = middle(runs, "cpu"), middle(runs, "user"), sum(run["dropped"] for run in runs)
    most_cost, most_memory, most_dropped = scenario.goal
    met = cost <= most_cost and memory <= most_memory and dropped <= most_dropped
    return (f"Goal: at most {most_cost:g} s/GB, {most_memory:g} KB per viewer and {most_dropped} packets dropped at {LATENCY_MS} ms of "
            f"latency, gathered {scenario.gather_ms} ms; it is {cost:.2f} s/GB, {memory:.1f} KB and {dropped}: "
            f"**{'met' if met else 'not met'}**.")
