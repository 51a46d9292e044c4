#!/bin/sh
# The suite on every Python from 3.12 on that this machine has, each with the one abi3 wheel in an environment of its own:
#     sh scripts/pythons.sh .venv/bin/maturin [pytest arguments]
maturin=$1
shift
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
"$maturin" build --release --quiet --out "$wheels" || exit 1

find_python() {  # the newest of that version: pyenv's own, else what the PATH has
    for candidate in $(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/"python$1" 2>/dev/null | sort -rV) "python$1"; do
        "$candidate" -c "" 2>/dev/null && { echo "$candidate"; return; }
    done
}

status=0
for version in 3.12 3.13 3.13t 3.14 3.14t; do
    python=$(find_python $version)
    if [ -z "$python" ]; then
        echo "== python$version is not on this machine"
        continue
    fi
    echo "== $("$python" --version)"
    venv=.venv-pythons/$version
    test -d "$venv" || "$python" -m venv "$venv" || exit 1
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt || exit 1
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$wheels"/*.whl || exit 1
    "$venv/bin/python" scripts/suite.py "$@" || status=1
done
exit $status
