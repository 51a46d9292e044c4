#!/bin/sh
# Licences, duplicates and origins of all crates, then known vulnerabilities:  sh scripts/deny.sh   (make deny)
# The list of vulnerabilities is fetched; where it cannot be, that is said, and only the first three count. The release
# workflow runs `cargo deny check`, to which it is an error.
command -v cargo-deny >/dev/null || {
    echo "cargo-deny is not installed; it is a crate: cargo install --locked cargo-deny"
    exit 1
}
cargo deny check licenses bans sources || exit 1
said=$(cargo deny check advisories 2>&1)
status=$?
case $said in
    *"failed to fetch advisory database"*) echo "advisories NOT CHECKED: their database cannot be fetched here" ;;
    *) echo "$said"; exit $status ;;
esac
