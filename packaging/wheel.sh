#!/usr/bin/env bash
# wheel.sh COMPILER LICENSES FOLDER: builds a Python wheel into FOLDER with the compiler and the libraries of COMPILER
# (compiler.sh) and the file LICENSES (licenses.sh), for any Python 3 and any Linux with the compiler's C library or a newer one.
# All libraries are inside but libcurl and libcrypto, which the command loads for downloads. auditwheel checks that and gives the
# wheel its tag.
set -euo pipefail

compiler=$(readlink -f "$1")
licenses=$2
folder=$3
here=$(dirname "$(readlink -f "$0")")
python=$("$here/../tools/venv.sh" "$here/requirements.txt")
processor=$(sed -n "s/^cpu = '\(.*\)'/\1/p" "$compiler/meson.ini")
plain=$(mktemp -d)
trap 'rm -rf "$plain"' EXIT
mkdir -p "$folder"

export PATH="$(dirname "$python"):$PATH" _PYTHON_HOST_PLATFORM="linux-$processor"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w "$plain" \
    -Csetup-args=--cross-file="$compiler/meson.ini" -Csetup-args=-Dlibraries=inside -Cbuild-dir="$compiler/build" "$here/.."
"$python" - "$plain"/capp-*.whl "$licenses" <<'EOF'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "a") as wheel:  # auditwheel writes the list of files again
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    wheel.write(sys.argv[2], metadata.replace("METADATA", "LICENSES.txt"))
EOF
"$python" -m auditwheel repair --only-plat -w "$folder" "$plain"/capp-*.whl >"$plain/log" 2>&1 || { cat "$plain/log" >&2; exit 1; }
