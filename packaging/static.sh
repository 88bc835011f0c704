#!/usr/bin/env bash
# static.sh COMPILER LICENSES FOLDER: builds the command as a static program for Linux with the compiler and the libraries of
# COMPILER (zig.sh for musl, libraries.sh), and packs it into FOLDER with its manual, completions and LICENSES (licenses.sh). It
# cannot download models: that needs libraries for TLS.
set -euo pipefail

compiler=$(readlink -f "$1")
licenses=$2
mkdir -p "$3"
folder=$(readlink -f "$3")
root=$(dirname "$(readlink -f "$0")")/..
processor=$(sed -n "s/^cpu = '\(.*\)'/\1/p" "$compiler/meson.ini")
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$root/meson.build")
name=capp-$version-linux-$processor-static

[ -e "$compiler/build/build.ninja" ] || meson setup "$compiler/build" "$root" --cross-file "$compiler/meson.ini" \
    --buildtype=release -Dmicrohttpd=inside -Ddownloads=false >"$compiler/log" || { cat "$compiler/log" >&2; exit 2; }
ninja --quiet -C "$compiler/build" capp
rm -rf "$compiler/$name"
mkdir "$compiler/$name"
cp "$compiler/build/capp" "$root/docs/capp.1" "$root/packaging/completions/capp.bash" "$root/LICENSE" "$compiler/$name/"
cp "$licenses" "$compiler/$name/LICENSES.txt"
tar -C "$compiler" -czf "$folder/$name.tar.gz" "$name"
