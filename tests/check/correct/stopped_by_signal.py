# METHODS: fork spawn
"""Parent and child each have a flag that their handler of a signal sets, and a client that is made when first used."""

import multiprocessing
import os
import signal

stopping = False
client = None


class Client:
    def close(self):
        print("closed")


def get_client():
    global client
    if client is None:
        client = Client()
    return client


def stop(number, frame):
    global stopping
    stopping = True


def work(ready):
    signal.signal(signal.SIGTERM, stop)
    get_client()
    ready.set()
    while not stopping:
        signal.pause()


def main():
    ready = multiprocessing.Event()
    process = multiprocessing.Process(target=work, args=(ready,))
    process.start()
    ready.wait()
    while not stopping and process.is_alive():
        os.kill(process.pid, signal.SIGTERM)
        process.join(0.05)
    if client is not None:
        client.close()


if __name__ == "__main__":
    main()
