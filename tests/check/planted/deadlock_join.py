"""A parent waits for a child that waits for its parent's lock."""
# METHODS: fork spawn forkserver thread
# EXPECT: deadlock @ holds, joins, waits

import procession


def work(lock):
    with lock:  # [waits]
        pass


def main(method):
    ctx = procession.get_context(method)
    lock = ctx.Lock()
    child = ctx.Process(target=work, args=(lock,))
    with lock:  # [holds]
        child.start()
        child.join()  # [joins]
    child.join()


if __name__ == "__main__":
    main(procession.get_start_method())
