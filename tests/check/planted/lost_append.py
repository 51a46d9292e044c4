# METHODS: fork spawn forkserver
# EXPECT: lost-write @ write, read
"""Tasks of a pool append to a list."""

from multiprocessing import Pool

results = []


def square(number):
    results.append(number * number)  # [write]


def main():
    with Pool(2) as pool:
        pool.map(square, range(10))
    print(sum(results))  # [read]


if __name__ == "__main__":
    main()
