# METHODS: fork spawn forkserver
# EXPECT: lost-write @ write, read
"""Tasks of an executor count in a global."""

from concurrent.futures import ProcessPoolExecutor

done = 0


def task(number):
    global done
    done = done + 1  # [write]
    return number


def main():
    with ProcessPoolExecutor(2) as executor:
        futures = [executor.submit(task, number) for number in range(6)]
        print(sum(future.result() for future in futures))
    print(done, "tasks are done")  # [read]


if __name__ == "__main__":
    main()
