"""Run every benchmark in turn, each in its own interpreter: `python -m benchmarks`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

ORDER = (
    "backup", "batches", "forward", "mce_fit", "mce_gradient", "replacement", "routes", "sac_update", "start_up",
    "stationary", "training",
)  # fmt: skip


def main() -> int:
    if importlib.util.find_spec("numba") is None:
        print("the peers are not installed; pip install -r benchmarks/peers.txt", file=sys.stderr)
        return 2
    failed = []
    for name in ORDER:
        print(f"== {name}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}"], cwd=Path(__file__).parent.parent, check=False
        )
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
