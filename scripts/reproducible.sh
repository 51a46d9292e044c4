#!/bin/sh
# The same commit, built twice, gives the same bytes:  sh scripts/reproducible.sh PYTHON [TARGET...]  (make reproducible)
#
# Both builds are from `git archive`, in folders of different names, with nothing in common but the downloaded crates.
# Nothing in the results may name a folder of this machine.
set -eu
python=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$(git rev-parse --show-toplevel)
unset CARGO_TARGET_DIR
commit=$(git -C "$here" rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git -C "$here" log -1 --format=%ct "$commit")
export SOURCE_DATE_EPOCH
test -z "$(git -C "$here" status --porcelain)" || echo "== there are changes without a commit; what is built is $commit"

for folder in "$work/one" "$work/another/deeper"; do
    mkdir -p "$folder"
    git -C "$here" archive "$commit" | tar -x -C "$folder"
    sh "$folder/scripts/wheels.sh" "$python" "$folder/dist" "$@"
done

status=0
for file in "$work"/one/dist/procession-*; do
    name=$(basename "$file")
    if cmp "$file" "$work/another/deeper/dist/$name"; then
        echo "same: $(sha256sum "$file" | cut -c1-16)…  $name"
    else
        status=1
    fi
    mkdir "$work/unpacked"
    case $name in
        *.whl) "$python" -m zipfile -e "$file" "$work/unpacked" ;;
        *) tar -xzf "$file" -C "$work/unpacked" ;;
    esac
    if grep -rlF -e "$work" -e "$HOME/" "$work/unpacked"; then
        echo "the files above, of $name, name a folder of this machine"
        status=1
    fi
    rm -rf "$work/unpacked"
done
exit $status
