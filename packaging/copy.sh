#!/usr/bin/env bash
# copy.sh FOLDER: copies the sources of capp into the new FOLDER: the files of this checkout that git does not ignore, or what was
# unpacked here from an archive of sources, without what was built in it.
set -euo pipefail

mkdir -p "$1"
folder=$(readlink -f "$1")
cd "$(dirname "$(readlink -f "$0")")/.."
if [ -e .git ]; then
    git ls-files -z -co --exclude-standard
else
    find . \( -path './build*' -o -path ./dist -o -path ./lgpl -o -name __pycache__ \) -prune -o -type f -print0
fi | tar -c --null --ignore-failed-read -T - | tar -x -C "$folder"
