"""A task waits for a lock that its caller holds while it waits for the result."""
# METHODS: fork spawn forkserver
# EXPECT: deadlock @ holds, waits, needs

import procession

lock = None


def begin(given):
    global lock
    lock = given


def task(number):
    with lock:  # [needs]
        return number


def main(method):
    ctx = procession.get_context(method)
    mine = ctx.Lock()
    with ctx.Pool(2, begin, (mine,)) as pool, mine:  # [holds]
        pool.apply_async(task, (3,)).get()  # [waits]


if __name__ == "__main__":
    main(procession.get_start_method())
