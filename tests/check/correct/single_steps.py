"""Steps of their own need no lock; neither does looking at a counter while it counts."""

import procession as mp


def work(hits, last, number):
    for i in range(30):
        hits.add(1)
        last[number] = i
    last[2] = number


if __name__ == "__main__":
    hits, last = mp.Value("i", 0), mp.Array("i", 3)
    workers = [mp.Process(target=work, args=(hits, last, number)) for number in range(2)]
    for worker in workers:
        worker.start()
    print(hits.value, last[:], last[0])
    for worker in workers:
        worker.join()
    assert hits.value == 60
