"""A list deep in a global dictionary."""

# METHODS: fork spawn forkserver
# EXPECT: lost-write @ write, read
import multiprocessing as mp

config = {"users": {"ann": {"logins": []}}}


def login(name):
    config["users"][name]["logins"].append("today")  # [write]


def main():
    p = mp.Process(target=login, args=("ann",))
    p.start()
    p.join()
    print(config["users"]["ann"]["logins"])  # [read]


if __name__ == "__main__":
    main()
