#!/usr/bin/env bash
# static.sh COMPILER LICENSES FOLDER: builds the command as a static program for any Linux with the compiler and the libraries of
# COMPILER (compiler.sh for musl), and packs it into FOLDER with its manuals, completions and LICENSES (licenses.sh), as they
# lie under /usr/local. It cannot download models: that needs libraries for TLS.
set -euo pipefail

compiler=$(readlink -f "$1")
licenses=$2
mkdir -p "$3"
folder=$(readlink -f "$3")
root=$(readlink -f "$(dirname "$(readlink -f "$0")")/..")
processor=$(sed -n "s/^cpu = '\(.*\)'/\1/p" "$compiler/meson.ini")
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$root/meson.build")
name=capp-$version-linux-$processor-static

[ -e "$compiler/build/build.ninja" ] || meson setup "$compiler/build" "$root" --cross-file "$compiler/meson.ini" \
    --buildtype=release -Dlibraries=static >"$compiler/log" || { cat "$compiler/log" >&2; exit 2; }
ninja --quiet -C "$compiler/build" capp
rm -rf "${compiler:?}/$name"
place() { install -D -m "$1" "$2" "$compiler/$name/$3"; }
place 755 "$compiler/build/capp" bin/capp
place 644 "$root/docs/capp.1" share/man/man1/capp.1
python3 "$root/tools/manuals.py" "$compiler/$name/share/man/man1"
place 644 "$root/packaging/completions/capp.bash" share/bash-completion/completions/capp
place 644 "$root/packaging/completions/_capp" share/zsh/site-functions/_capp
place 644 "$root/packaging/completions/capp.fish" share/fish/vendor_completions.d/capp.fish
place 644 "$root/LICENSE" share/doc/capp/LICENSE
place 644 "$licenses" share/doc/capp/LICENSES.txt
tar -C "$compiler" --owner=0 --group=0 -czf "$folder/$name.tar.gz" "$name"
