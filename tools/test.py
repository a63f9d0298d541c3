"""Runs every suite and closes with one plain line: `N passed, N failed`, summed over all of them.

A suite is a command. What it counts is read from its own closing lines; a suite that counts nothing but exits well is one
that passed, and one that exits badly without having counted a failure is one that failed. Nothing is skipped in silence:
a suite whose tools are missing fails, and a test that a runner says it left out is printed.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# One set of features for all, or everything would be built twice; the fuzz lints see to it that the crates build without.
CARGO = ["--workspace", "--locked", "--features", "cruvz-server/transcode"]

SUITES = {
    "format": ["cargo", "fmt", "--all", "--check"],
    "lints": ["cargo", "clippy", *CARGO, "--all-targets", "--", "-D", "warnings"],
    # Not --locked: their lock file follows the workspace's dependencies.
    "fuzz lints": ["cargo", "clippy", "--manifest-path", "fuzz/Cargo.toml", "--no-default-features", "--target-dir", "target",
                   "--", "-D", "warnings"],
    "tests": ["cargo", "nextest", "run", *CARGO, "--no-fail-fast", "--status-level", "fail"],
    "doctests": ["cargo", "test", *CARGO, "--doc", "--quiet"],
    "interop": ["tests/interop/run"],
    "browser": ["tests/browser/run"],
}

# How each runner closes: passed, failed, left out.
CLOSINGS = [
    re.compile(r"Summary .*?(?P<passed>\d+) passed.*?(?:, (?P<failed>\d+) failed)?(?:, (?P<skipped>\d+) skipped)?\s*$"),
    re.compile(r"^test result: .*?(?P<passed>\d+) passed; (?P<failed>\d+) failed; (?P<skipped>\d+) ignored"),
    re.compile(r"^(?P<passed>\d+) passed, (?P<failed>\d+) failed(?:, (?P<skipped>\d+) skipped)?$"),
]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def count(line):
    """(passed, failed, skipped) of a runner's closing line; None for any other line."""
    for closing in CLOSINGS:
        if found := closing.search(COLOUR.sub("", line.rstrip())):
            return [int(found[name] or 0) for name in ("passed", "failed", "skipped")]
    return None


def run(command):
    """Runs one suite, its output shown as it comes. Returns (passed, failed, skipped)."""
    totals, counted = [0, 0, 0], False
    # Counts of one suite are for the sum: a closing line of its own must not look like that of the whole run.
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace") as process:
        for line in process.stdout:
            numbers = count(line)
            if numbers:
                totals, counted = [sum(pair) for pair in zip(totals, numbers)], True
            print("  " + line if numbers else line, end="", flush=True)
    if process.returncode != 0 and totals[1] == 0:
        totals[1] = 1
    elif not counted:
        totals[0] += 1
    return totals


def main():
    wanted = sys.argv[1:] or list(SUITES)
    rows = []
    for name in wanted:
        print(f"\n== {name}: {' '.join(SUITES[name])}", flush=True)
        began = time.monotonic()
        try:
            totals = run(SUITES[name])
        except OSError as error:
            print(f"{name} cannot run: {error}")
            totals = [0, 1, 0]
        rows.append((name, *totals, time.monotonic() - began))

    print()
    for name, passed, failed, skipped, seconds in rows:
        left_out = f", {skipped} left out" if skipped else ""
        print(f"  {name:<10} {passed:>5} ok  {failed:>3} bad{left_out}  in {seconds:.0f} s")
    passed, failed = sum(row[1] for row in rows), sum(row[2] for row in rows)
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    os.environ.setdefault("CARGO_TERM_COLOR", "never")
    # Long enough to see that it plays; how well is measured by itself, on a quiet machine (tests/browser/run).
    os.environ.setdefault("SECONDS_PER_RUN", "20")
    main()
