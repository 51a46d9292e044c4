"""A number read, added to and written back, in three lines of a method."""

# METHODS: fork spawn forkserver thread
# EXPECT: lost-update @ update
import multiprocessing as mp


class Account:
    def __init__(self):
        self.balance = mp.Value("d", 0.0)

    def deposit(self, amount):
        old = self.balance.value
        new = old + amount
        self.balance.value = new  # [update]


def work(account):
    for _ in range(50):
        account.deposit(1)


if __name__ == "__main__":
    account = Account()
    ps = [mp.Process(target=work, args=(account,)) for _ in range(2)]
    for p in ps:
        p.start()
    for p in ps:
        p.join()
