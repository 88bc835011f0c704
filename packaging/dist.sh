#!/usr/bin/env bash
# dist.sh WORK FOLDER [wheel]: makes all packages in FOLDER: wheels and static programs for x86-64 and AArch64, Debian packages
# for this machine's processor, and the sources that belong to them. With `wheel`, it makes the wheel for this machine's
# processor and the sources alone. WORK keeps what the next run need not make again.
set -euo pipefail

work=$1
folder=$2
here=$(dirname "$(readlink -f "$0")")
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$here/../meson.build")
mkdir -p "$folder"

package() { # KIND PROCESSOR C-LIBRARY
    "$here/compiler.sh" "$work" "$2-$3"
    "$here/licenses.sh" "$work/sources" >"$work/LICENSES.txt"
    echo "Building the $1 package for $2"
    "$here/$1.sh" "$work/$2-$3" "$work/LICENSES.txt" "$folder"
}
if [ "${3:-}" = wheel ]; then
    package wheel "$(uname -m)" linux-gnu.2.17
else
    rm -rf "${folder:?}"/*
    for processor in x86_64 aarch64; do
        package wheel "$processor" linux-gnu.2.17
        package static "$processor" linux-musl
    done
    echo 'Building the Debian packages'
    "$here/deb.sh" "$folder"
fi

# The sources of capp and of the libraries whose license asks for them.
rm -rf "$work/capp-$version-sources"
"$here/copy.sh" "$work/capp-$version-sources"
mkdir "$work/capp-$version-sources/lgpl"
cp "$work"/sources/archives/{libcsv,libmicrohttpd}_* "$work/capp-$version-sources/lgpl/"
tar -C "$work" -cJf "$folder/capp-$version-sources.tar.xz" "capp-$version-sources"
ls -l "$folder"
