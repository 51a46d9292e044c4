"""A bounded buffer: one semaphore counts what is there, one the room; and a lock for the readers' place."""

import multiprocessing as mp


def consume(buffer, place, filled, room, lock, total):
    for _ in range(15):
        filled.acquire()
        with lock:
            item = buffer[place.value % 4]
            place.value += 1
        room.release()
        total.add(item)


if __name__ == "__main__":
    buffer, place, total = mp.RawArray("i", 4), mp.RawValue("i", 0), mp.Value("i", 0)
    filled, room, lock = mp.Semaphore(0), mp.Semaphore(4), mp.Lock()
    children = [mp.Process(target=consume, args=(buffer, place, filled, room, lock, total)) for _ in range(2)]
    for child in children:
        child.start()
    for i in range(30):
        room.acquire()
        buffer[i % 4] = i
        filled.release()
    for child in children:
        child.join()
    assert total.value == sum(range(30))
