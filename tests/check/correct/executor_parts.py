import procession

cells = procession.RawArray("i", 10)


def work(i):
    cells[i] += 1
    return i


if __name__ == "__main__":
    with procession.Executor(2) as executor:
        for _ in range(2):
            list(executor.map(work, range(10)))
            assert len(set(cells)) == 1
        executor.submit(work, 3).result()
        cells[3] = 0
