"""Reads the JSON of `cargo llvm-cov`: prints the least covered files and each crate's line coverage, and fails below a floor."""

import json
import sys
from pathlib import Path

CRATES = ["cruvz-media", "cruvz-core"]


def per_cent(lines):
    covered, count = sum(one["covered"] for one in lines), sum(one["count"] for one in lines)
    return 100 * covered / count if count else 0.0


def main(report, floor):
    root = Path(__file__).resolve().parent.parent
    files = {}
    for entry in json.loads(Path(report).read_text())["data"][0]["files"]:
        path = Path(entry["filename"])
        if path.is_relative_to(root):
            files[path.relative_to(root)] = entry["summary"]["lines"]

    print("least covered:")
    for path, lines in sorted(files.items(), key=lambda item: per_cent([item[1]]))[:10]:
        print(f"  {per_cent([lines]):5.1f} %  {lines['count'] - lines['covered']:4} lines missed  {path}")

    below = False
    for crate in CRATES:
        share = per_cent([lines for path, lines in files.items() if path.parts[:2] == (crate, "src")])
        below |= share < floor
        print(f"{crate}: {share:.1f} % of lines covered" + (f", below {floor:.0f} %" if share < floor else ""))
    sys.exit(1 if below else 0)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
