# METHODS: fork spawn forkserver
# EXPECT: lost-write @ done, read
# EXPECT: lost-write @ total, read
# EXPECT: lost-write @ out, read
"""Tasks fill an array, a class attribute and a list of an object."""

import array
import multiprocessing

out = array.array("d", [0.0] * 4)


class Job:
    total = 0

    def __init__(self):
        self.done = []

    def step(self, number):
        self.done.append(number)  # [done]
        Job.total += number  # [total]
        out[number] = number  # [out]
        return number


job = Job()


def run(number):
    return job.step(number)


def main():
    with multiprocessing.Pool(2) as pool:
        for _ in pool.imap_unordered(run, range(1, 4)):
            pass
    print(job.done, Job.total, list(out))  # [read]


if __name__ == "__main__":
    main()
