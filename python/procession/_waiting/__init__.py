"""Waiting in an event loop: what `get_async`, `wait_async`, `await result` and `async for` over an imap stand on.

    import asyncio
    import procession

    def square(number, queue):
        queue.put(f"squaring {number}")
        return number * number

    async def main():
        queue = procession.Queue()
        with procession.Pool(2) as pool:
            print(await pool.apply_async(square, (3, queue)))
            print(await asyncio.wait_for(queue.get_async(), 5))
            async for value in pool.imap(abs, [-1, -2]):
                print(value)
        process = procession.Process(target=square, args=(4, queue))
        process.start()
        print(await process.result_async())

    if __name__ == "__main__":
        asyncio.run(main())

Nothing here starts a thread. A loop is woken by a descriptor that becomes readable (`loop.add_reader`, on a duplicate
of its own, so that nobody's reader is replaced): a process's sentinel, a ring's watch. Where there is none, for room in
a bounded queue or for a lock, it asks again and again, after 1 ms at first and every 50 ms in the end.

Two rules keep items safe:

* A wake-up carries nothing. The woken task itself takes the item, by a call that does not block, and between that and
  its return there is no `await`. So a cancelled task either has the item or has left it where it was.
* Of those who wait for one thing in one loop only the first is woken (see `line`). When it was served, or is cancelled,
  it passes the word on.

What was considered and dropped: a thread that waits for many futexes at once (Linux 5.16 can do that for 128), and
handing items over in futures: a task cancelled between the two would lose one.

A wake-up may be lost: a putter can be killed after its item is in the ring and before it has told anybody. So each line
is looked at ten times a second.

This package is loaded when one of the methods is first used, and asyncio with it. `alarm` wakes, `line` queues; the
other files know what is waited for.
"""

from __future__ import annotations

from .locks import acquire, event_wait
from .pools import pool_next, pool_result
from .processes import process_result, process_wait
from .queues import queue_get, queue_put, thread_queue_get, thread_queue_put

__all__ = [
    "acquire",
    "event_wait",
    "pool_next",
    "pool_result",
    "process_result",
    "process_wait",
    "queue_get",
    "queue_put",
    "thread_queue_get",
    "thread_queue_put",
]
