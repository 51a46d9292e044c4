"""`make changelog`: the entries waiting in changelog.d, grouped as the next release will list them."""

from pathlib import Path

KINDS = ("added", "changed", "fixed", "removed")


def main() -> None:
    folder = Path(__file__).parent.parent / "changelog.d"
    for kind in KINDS:
        entries = sorted(folder.glob(f"{kind}-*.md"))
        if entries:
            print(f"### {kind.capitalize()}\n")
        for entry in entries:
            print("- " + "\n  ".join(entry.read_text().strip().splitlines()))
        if entries:
            print()


if __name__ == "__main__":
    main()
