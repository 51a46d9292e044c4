"""Listener and Client, with and without a key."""

import contextlib
import multiprocessing
import sys
from multiprocessing.connection import Client, Listener


def call(address, key):
    with Client(address, authkey=key) as connection:
        connection.send([2.25, None, "junk", float])
        connection.send_bytes(b"hello")
        print(connection.recv(), flush=True)


def main():
    for family, key in (("AF_INET", b"secret password"), ("AF_UNIX", None)):
        address = ("localhost", 0) if family == "AF_INET" else None
        with Listener(address, family, authkey=key) as listener:
            child = multiprocessing.Process(target=call, args=(listener.address, key))
            child.start()
            with listener.accept() as connection:
                print(connection.recv(), connection.recv_bytes())
                connection.send("bye")
            child.join()
    with Listener(("localhost", 0), authkey=b"right") as listener:
        child = multiprocessing.Process(target=wrong, args=(listener.address,))
        child.start()
        with contextlib.suppress(multiprocessing.AuthenticationError):
            print(listener.accept())
        child.join()
        print("AuthenticationError")


def wrong(address):
    try:
        Client(address, authkey=b"wrong")
    except multiprocessing.AuthenticationError:
        print("refused", flush=True)


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
