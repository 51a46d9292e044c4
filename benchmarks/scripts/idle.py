"""Hold many primitives, do nothing, print descriptors and memory. Usage: idle.py MODULE COUNT."""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys


def memory_mib() -> dict[str, float]:
    """Resident and proportional set size of this process."""
    with open("/proc/self/smaps_rollup") as rollup:
        fields = [line.split() for line in rollup if line.startswith(("Rss:", "Pss:"))]
    return {name.rstrip(":").lower() + "-mib": int(kib) / 1024 for name, kib, _ in fields}


def main() -> None:
    count = int(sys.argv[2])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        module = importlib.import_module(sys.argv[1])
        held = [(module.Lock(), module.Value("i", 0), module.Queue(4)) for _ in range(count)]
    except (ImportError, AttributeError) as error:
        sys.exit(f"missing: {error}")
    print(json.dumps({"descriptors": len(os.listdir("/proc/self/fd")), **memory_mib()}))
    assert len(held) == count


if __name__ == "__main__":
    main()
