# METHODS: fork spawn forkserver
"""A server in a child with sessions of its own; clients in the parent keep theirs, in a dict of the same name."""

import multiprocessing

sessions = {}
requests = 0


class Session:
    def __init__(self, name):
        self.name = name
        self.calls = 0

    def call(self, connection, text):
        self.calls += 1
        connection.send((self.name, text))
        return connection.recv()


def serve(connection):
    global requests
    while (message := connection.recv()) is not None:
        name, text = message
        requests += 1
        session = sessions.setdefault(name, Session(name))
        session.calls += 1
        connection.send((text.upper(), session.calls))


def main():
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(theirs,))
    process.start()
    for name in ("one", "two"):
        sessions[name] = Session(name)
    for session in sessions.values():
        print(session.call(ours, "hello"), session.calls)
    ours.send(None)
    process.join()


if __name__ == "__main__":
    main()
