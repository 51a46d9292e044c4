# METHODS: fork thread

import multiprocessing as mp


def work(box, full, changed):
    for i in range(10):
        with changed:
            changed.wait_for(lambda: full.value == 0)
            box[0] = i
            full.value = 1
            changed.notify()


if __name__ == "__main__":
    box, full, changed = mp.RawArray("i", 1), mp.RawValue("i", 0), mp.Condition()
    child = mp.Process(target=work, args=(box, full, changed))
    child.start()
    for i in range(10):
        with changed:
            while not full.value:
                changed.wait()
            assert box[0] == i
            full.value = 0
            changed.notify()
    child.join()
