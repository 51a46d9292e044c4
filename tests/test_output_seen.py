"""Forwarded output where people look at it: on a terminal with live bars, and in a notebook."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import Terminal, screen

NOTEBOOK = """
import json
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel()


def run(code):
    seen = {"stdout": "", "stderr": ""}

    def note(message):
        assert message["msg_type"] != "error", message["content"]["evalue"]
        if message["msg_type"] == "stream":
            seen[message["content"]["name"]] += message["content"]["text"]

    client.execute_interactive(code, output_hook=note, timeout=30)
    return seen["stdout"], seen["stderr"]


run('''
import os, sys, procession
def say(number):
    print("out", number)
    os.system(f"echo shell {number}")
    print("err", number, file=sys.stderr)
pool = procession.get_context("fork").Pool(1, forward_output=True)
''')
cells = [run("_ = pool.map(say, [1, 2])"), run("_ = pool.map(say, [3])")]
run("pool.terminate(); pool.join()")
client.stop_channels()
manager.shutdown_kernel()
print(json.dumps(cells))
"""


@pytest.mark.slow
def test_lines_stand_above_live_bars(tmp_path: Path) -> None:
    text = """
        import procession

        def say(number):
            print("out", number)

        if __name__ == "__main__":
            with procession.get_context("fork").Pool(2, forward_output=True) as pool:
                pool.map(say, range(40), chunksize=1, progress="items")
    """
    terminal = Terminal(text, tmp_path)
    assert terminal.finish() == 0
    *lines, bar, last = screen(terminal.text)
    assert last == ""
    assert re.fullmatch(r"items ━+ 100%  40/40 .*", bar)
    matches = [re.fullmatch(r"\[ForkPoolWorker-\d\] out (\d+)", line) for line in lines]
    assert sorted(int(match[1]) for match in matches if match) == list(range(40))
    assert len(lines) == 40


@pytest.mark.slow
def test_lines_stand_in_the_cell_that_waits_for_them(tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    pytest.importorskip("jupyter_client")
    command = [sys.executable, "-c", NOTEBOOK]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=True)
    cells = json.loads(ended.stdout.splitlines()[-1])
    for (out, err), numbers in zip(cells, ([1, 2], [3]), strict=True):
        front = out[: out.index("]") + 2]
        assert out == "".join(f"{front}out {number}\n{front}shell {number}\n" for number in numbers)
        assert err == "".join(f"{front}err {number}\n" for number in numbers)
