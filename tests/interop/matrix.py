"""Runs every cell of the matrix: a function that a module below registers with @cell. A cell returns its figures, or raises."""

import importlib
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

CELLS = []
MODULES = ["formats", "srt", "programs", "continuity", "neighbours", "hostile"]


def cell(name):
    """Registers a function as the cell `name`. It gets an empty folder and returns a line of figures."""

    def register(function):
        CELLS.append((name, function))
        return function

    return register


def main(wanted):
    for module in MODULES:
        importlib.import_module(module)
    cells = [(name, run) for name, run in CELLS if not wanted or any(part in name for part in wanted)]
    passed = failed = 0
    for name, run in cells:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="cruvz-") as folder:
            try:
                figures = run(Path(folder))
                passed += 1
                print(f"ok    {name}: {figures}  [{time.monotonic() - began:.0f} s]", flush=True)
            except Exception as error:  # whatever went wrong is this cell's failure, and the next one runs
                failed += 1
                print(f"FAIL  {name}: {error}  [{time.monotonic() - began:.0f} s]", flush=True)
                if not isinstance(error, AssertionError):
                    traceback.print_exc(file=sys.stdout)
                for log in sorted(Path(folder).glob("*.log")):
                    print(f"--- the end of {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-8:])[-2000:])
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    sys.modules["matrix"] = sys.modules["__main__"]
    os.environ.pop("DISPLAY", None)
    main(sys.argv[1:])
