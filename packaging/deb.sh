#!/usr/bin/env bash
# deb.sh FOLDER: builds the Debian packages of debian/ from a copy of this checkout, as Debian does, puts them into FOLDER
# and has lintian check them: it must find nothing.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
mkdir -p "$1"
folder=$(readlink -f "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$here/copy.sh" "$work/capp"
cd "$work/capp"
if ! dpkg-buildpackage -us -uc -b >"$work/log" 2>&1; then
    tail -n 30 "$work/log" >&2
    exit 2
fi
lintian --fail-on error,warning,info,pedantic --info "$work"/*.changes
rm -f "$folder"/*.deb
cp "$work"/*.deb "$folder/"
