#!/bin/sh
# The sdist and the wheels of this source:  sh scripts/wheels.sh PYTHON OUT [TARGET...]    (make wheels)
#
# PYTHON is one that has requirements-release.txt, OUT a folder that is emptied first. The wheels are built from the
# sdist, unpacked, so that a file which the sdist lacks is noticed. zig links against glibc 2.17 (manylinux2014), so the
# wheels run on any Linux of the last ten years; maturin checks that they need nothing newer.
#
# FREE_THREADED="python3.13t ..." names interpreters without the GIL, each of which gets a wheel of its own.
#
# The same source gives the same bytes (`make reproducible`): the time in the archives is the commit's, and no folder of
# this machine is in what the compiler writes.
set -eu
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
PATH=$(dirname "$python"):$PATH  # where maturin looks for zig
out=$2
shift 2
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

: "${SOURCE_DATE_EPOCH:=$(git -C "$here" log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$here/target}/wheels"
umask 022

maturin() { "$python" -m maturin "$@"; }

# The wheel of one target; further arguments are maturin's. In the folder of the source.
wheel() {
    target=$1
    shift
    "$python" "$here/scripts/third_party.py" --sbom procession.cdx.json --zig "$target"
    set -- --target "$target" "$@"
    RUSTFLAGS="--remap-path-prefix=$PWD=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$(rustc --print sysroot)=rust"
    export RUSTFLAGS
    maturin build --quiet --profile wheel --locked --zig --compatibility manylinux2014 \
        --sbom-include procession.cdx.json --out "$out" "$@"
}

# A name without a version is in no glibc as old as the tag says, or zig would have found it; loading would fail there.
# maturin and auditwheel look at versions only.
old_names_only() {
    "$python" -m zipfile -e "$1" "$work/wheel"
    new=$(readelf --wide --dyn-syms "$work"/wheel/procession/*.so |
        awk '$5 == "GLOBAL" && $7 == "UND" && $8 !~ /@/ && $8 !~ /^_?Py/ { print $8 }')
    rm -rf "$work/wheel"
    test -z "$new" || { echo "$1 needs functions of a newer glibc:" $new; exit 1; }
}

has_std() { test -d "$(rustc --print target-libdir --target "$1")"; }
has_source() { test -d "$(RUSTUP_TOOLCHAIN=$1 rustc --print sysroot)/lib/rustlib/src/rust/library"; }

mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -f "$out"/procession-*.whl "$out"/procession-*.tar.gz "$out"/SHA256SUMS
(cd "$here" && maturin sdist --out "$out") 2>"$work/said" || { cat "$work/said"; exit 1; }
tar -xzf "$out"/procession-*.tar.gz -C "$work"
cd "$work"/procession-*
test -e Cargo.lock

for target in "${@:-x86_64-unknown-linux-gnu}"; do
    if has_std "$target"; then
        wheel "$target"
        for interpreter in ${FREE_THREADED:-}; do
            wheel "$target" --no-default-features --interpreter "$interpreter"
        done
    elif RUSTUP_TOOLCHAIN=nightly rustc --version >/dev/null 2>&1 && has_source nightly; then
        echo "== $target: its standard library is not installed, and is built from its source, by a nightly compiler"
        (export RUSTUP_TOOLCHAIN=nightly && wheel "$target" -Z build-std=std,panic_unwind)
    else
        echo "== $target: NO WHEEL. Install its standard library: rustup target add $target"
    fi
done
for built in "$out"/*.whl; do
    old_names_only "$built"
done
cd "$out"
sha256sum procession-* >SHA256SUMS
ls -l procession-*
