# METHODS: fork spawn forkserver
# EXPECT: copies @ send
"""The same table goes along with every task."""

from multiprocessing import Pool


def look_up(table, number):
    return table[number]


if __name__ == "__main__":
    table = bytes(2 << 20)
    with Pool(2) as pool:
        results = [pool.apply_async(look_up, (table, number)) for number in range(8)]  # [send]
        print(sum(result.get() for result in results))
