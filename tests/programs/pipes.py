"""Pipe, both kinds, bytes and objects; connection.wait; connections sent through pipes; EOF."""

import multiprocessing
import sys
from multiprocessing.connection import wait


def talk(end):
    end.send(["hello", None, 42])
    print(end.recv(), flush=True)
    end.send_bytes(b"abcdef", 2, 3)
    buffer = bytearray(4)
    end.send(end.recv_bytes_into(buffer))
    end.send(bytes(buffer))
    inner = end.recv()
    inner.send("through the pipe sent through a pipe")
    inner.close()
    end.close()


def number(end, n):
    end.send(n)
    end.close()


def main():
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=talk, args=(theirs,))
    child.start()
    theirs.close()
    print(ours.recv())
    ours.send({"a": (1, 2)})
    print(ours.poll(30), ours.recv_bytes())
    ours.send_bytes(b"xyz")
    print(ours.recv(), ours.recv())
    reader, writer = multiprocessing.Pipe(duplex=False)
    ours.send(writer)
    print(reader.recv())
    child.join()
    print(ours.poll(0))
    try:
        ours.recv()
    except EOFError:
        print("EOFError")
    print(reader.readable, reader.writable, writer.readable, writer.writable, ours.readable, ours.writable)
    for wrong in (lambda: reader.send(1), lambda: writer.recv(), lambda: writer.send_bytes(b"a", 5)):
        try:
            wrong()
        except Exception as error:
            print(type(error).__name__, error)
    reader.close()
    print(reader.closed, writer.closed)
    try:
        reader.recv()
    except OSError as error:
        print(error)
    try:
        writer.send(1)
    except BrokenPipeError:
        print("broken pipe")
    left, right = multiprocessing.Pipe()
    left.send_bytes(b"1234567890")
    try:
        right.recv_bytes_into(bytearray(3))
    except multiprocessing.BufferTooShort as error:
        print("too short", error.args[0])
    left.send_bytes(b"1234567890")
    try:
        right.recv_bytes(maxlength=3)
    except OSError:
        print("OSError")
    readers, children = [], []
    for n in range(3):
        r, w = multiprocessing.Pipe(False)
        child = multiprocessing.Process(target=number, args=(w, n))
        child.start()
        w.close()
        readers.append(r)
        children.append(child)
    got = []
    while readers:
        for r in wait(readers):
            try:
                got.append(r.recv())
            except EOFError:
                readers.remove(r)
    print(sorted(got), wait([], 0))
    for child in children:
        child.join()
    with multiprocessing.Pipe()[0] as end:
        print(end.closed, isinstance(end.fileno(), int))
    print(end.closed)


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
