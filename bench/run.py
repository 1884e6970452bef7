"""All parts of the bench, one after another, and one table of what they found: `make bench`.

`--quick` looks once and shortly; its figures are not to be quoted. The exit code is 1 where a part
broke, and 0 whatever the figures are: a goal that is missed is for people to look at.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.figures import Figure, table

FOLDER = Path(__file__).parent
PARTS = ("store", "tokens", "post_jobs", "relay", "scans", "process", "nostr", "chat")
PART_S = 240


def main() -> None:
    began_s = time.monotonic()
    options = [option for option in sys.argv[1:] if option == "--quick"]
    found = {part: figures_of(part, options) for part in PARTS if (FOLDER / f"{part}.py").exists()}
    print(table([figure for figures in found.values() for figure in figures or ()]))
    broken = [part for part, figures in found.items() if figures is None]
    print(f"\n{time.monotonic() - began_s:.0f} s.", *(f"bench/{part}.py broke." for part in broken))
    sys.exit(1 if broken else 0)


def figures_of(part: str, options: list[str]) -> list[Figure] | None:
    """Run a part in a process of its own; None where it broke, and it has said why."""
    print(f"bench/{part}.py ...", file=sys.stderr)
    command = [sys.executable, "-m", f"bench.{part}", "--json", *options]
    with subprocess.Popen(command, cwd=FOLDER.parent, stdout=subprocess.PIPE) as running:
        try:
            output, _ = running.communicate(timeout=PART_S)
        except subprocess.TimeoutExpired:
            print(f"bench/{part}.py takes longer than {PART_S} s", file=sys.stderr)
            running.send_signal(signal.SIGINT)  # so that it ends its servers
            return None
    return None if running.returncode else [Figure(**figure) for figure in json.loads(output)]


if __name__ == "__main__":
    main()
