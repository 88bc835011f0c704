#!/usr/bin/env bash
# dist.sh WORK FOLDER: makes all packages in FOLDER: wheels for x86-64 and AArch64, Debian packages for this machine's
# processor, and the sources that belong to them. WORK keeps what the next run need not make again.
set -euo pipefail

work=$1
folder=$2
here=$(dirname "$(readlink -f "$0")")
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$here/../meson.build")
rm -rf "$folder"
mkdir -p "$work" "$folder"

"$here/sources.sh" "$work/sources"
"$here/licenses.sh" "$work/sources" >"$work/LICENSES.txt"
for processor in x86_64 aarch64; do
    compiler=$work/$processor-linux-gnu.2.17
    "$here/zig.sh" "$processor-linux-gnu.2.17" "$compiler"
    "$here/libraries.sh" "$work/sources" "$compiler"
    echo "Building the wheel for $processor"
    "$here/wheel.sh" "$compiler" "$work/LICENSES.txt" "$folder"
done
echo 'Building the Debian packages'
"$here/deb.sh" "$folder"

# The sources of capp and of the libraries whose license asks for them.
rm -rf "$work/capp-$version-sources"
mkdir -p "$work/capp-$version-sources/lgpl"
(cd "$here/.." && git ls-files -z -co --exclude-standard | tar -c --null --ignore-failed-read -T -) |
    tar -x -C "$work/capp-$version-sources"
cp "$work"/sources/archives/{libcsv,libmicrohttpd}_* "$work/capp-$version-sources/lgpl/"
tar -C "$work" -cJf "$folder/capp-$version-sources.tar.xz" "capp-$version-sources"
ls -l "$folder"
