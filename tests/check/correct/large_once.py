# METHODS: fork spawn
"""Large objects are sent, but each only once to whoever needs it, or with new contents each time."""

import multiprocessing

table = b""


def remember(given):
    global table
    table = given


def look_up(number):
    return table[number]


def read(connection, frames):
    print(sum(len(connection.recv()) for _ in range(frames)), flush=True)


def main():
    large = bytes(range(256)) * 8192
    with multiprocessing.Pool(2, initializer=remember, initargs=(large,)) as pool:
        print(sum(pool.map(look_up, range(100))))
        print(len(pool.map(len, [large, large])))
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=read, args=(theirs, 4))
    process.start()
    frame = bytearray(1 << 21)
    for number in range(4):
        frame[number] = 1
        ours.send(frame)
    process.join()


if __name__ == "__main__":
    main()
