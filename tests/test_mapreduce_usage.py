"""What a run costs."""

from __future__ import annotations

from procession.mapreduce.usage import Usage


def test_usage_counts_this_process_and_others() -> None:
    usage = Usage()
    data = bytearray(b"x" * (32 << 20))
    usage.look([])
    assert usage.peak_bytes > len(data)
    while usage.cpu_seconds < 0.05:  # the kernel counts in hundredths
        usage.look([2**22 + 1], now=True)  # no such process: passed over
    peak = usage.peak_bytes
    del data
    usage.look([], now=True)
    assert usage.peak_bytes == peak
