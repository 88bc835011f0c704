#!/usr/bin/env bash
# venv.sh [REQUIREMENTS]: prints the path of a Python that has the packages listed in the file (default:
# tests/requirements.txt). It is in a virtual environment in the user's cache folder, which is made if it is missing. The name
# of the environment contains a hash of the requirements and of Python's version, so a change of either makes a new one.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
requirements=${1:-$here/../tests/requirements.txt}
python=${PYTHON:-python3}
hash=$({ "$python" --version && cat "$requirements"; } | sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/capp
venv=$cache/venv-$hash

if [ ! -e "$venv/complete" ]; then
    echo "Making a Python environment of $requirements in $venv" >&2
    rm -rf "$venv"
    mkdir -p "$cache"
    "$python" -m venv "$venv" >&2
    # The list is complete, dependencies included: nothing else comes in.
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$requirements" >&2; then
        echo "pip could not install $requirements: is this machine online? Then run it again." >&2
        exit 2
    fi
    touch "$venv/complete"
fi
echo "$venv/bin/python"
