# METHODS: fork spawn forkserver thread
"""State that is shared, in objects of the program's own: a Value, an Array and a managed dict."""

import multiprocessing


class Counter:
    def __init__(self):
        self.value = multiprocessing.Value("i", 0)
        self.cells = multiprocessing.Array("i", 4)

    def add(self, cell):
        with self.value.get_lock():
            self.value.value += 1
        with self.cells.get_lock():
            self.cells[cell] += 1


def work(counter, cell, names):
    for _ in range(50):
        counter.add(cell)
    names[cell] = multiprocessing.current_process().name


def main():
    counter = Counter()
    with multiprocessing.Manager() as manager:
        names = manager.dict()
        processes = [multiprocessing.Process(target=work, args=(counter, cell, names)) for cell in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        print(counter.value.value, list(counter.cells), len(names))


if __name__ == "__main__":
    main()
