"""Runs every cell of the matrix: a function that a module below registers with @cell. A cell returns its figures, or raises.

Cells that mostly wait run beside each other; those that measure run alone.
"""

import importlib
import os
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

CELLS = []
BESIDE = 6
MODULES = ["srt_matrix", "srt_refusals", "formats", "srt", "webrtc", "webrtc_hostile", "nat", "programs", "continuity", "record", "neighbours",
           "hostile"]


def cell(name, beside=False):
    """Registers a function as the cell `name`. It gets an empty folder and returns a line of figures.

    One that may run `beside` others must not mind that they take CPU time.
    """

    def register(function):
        CELLS.append((name, function, beside))
        return function

    return register


def outcome(name, run):
    """(whether it passed, what there is to say)"""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cruvz-") as folder:
        try:
            figures = run(Path(folder))
            return True, f"ok    {name}: {figures}  [{time.monotonic() - began:.0f} s]"
        except Exception as error:  # whatever went wrong is this cell's failure, and the next one runs
            said = [f"FAIL  {name}: {error}  [{time.monotonic() - began:.0f} s]"]
            if not isinstance(error, AssertionError):
                said.append(traceback.format_exc())
            for log in sorted(Path(folder).glob("*.log")):
                end = log.read_text(errors="replace").splitlines()[-8:]
                said.append(f"--- the end of {log.name}\n" + "\n".join(end)[-2000:])
            return False, "\n".join(said)


def main(wanted):
    for module in MODULES:
        importlib.import_module(module)
    cells = [one for one in CELLS if not wanted or any(part in one[0] for part in wanted)]
    passed = failed = 0
    for beside, group in groupby(cells, key=lambda one: one[2]):
        with ThreadPoolExecutor(BESIDE if beside else 1) as pool:
            for good, said in pool.map(lambda one: outcome(*one[:2]), group):
                print(said, flush=True)
                passed, failed = passed + good, failed + (not good)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    sys.modules["matrix"] = sys.modules["__main__"]
    os.environ.pop("DISPLAY", None)
    main(sys.argv[1:])
