#!/usr/bin/env bash
# licenses.sh SOURCES: prints the licenses of what wheels and static programs contain.
set -euo pipefail

sources=$1
here=$(dirname "$(readlink -f "$0")")
python=$("$here/../tools/venv.sh" "$here/requirements.txt")
zig=$("$python" -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')

cat <<EOF
This package contains capp and the libraries below, with the licenses that follow. capp is under the MIT license.

libcsv and GNU libmicrohttpd are under the GNU Lesser General Public License, version 2.1 or later. You may change them and
use the changed ones with capp: the archive capp-*-sources.tar.xz, which comes from the same place as this package, has their
complete sources and those of capp. Unpack it, run packaging/sources.sh build-dist/sources, change build-dist/sources/libcsv or
build-dist/sources/libmicrohttpd (the sources in lgpl/, unpacked), and run make wheel, or make dist for all packages.
Debian's names and versions of all sources:

$(sed -n 's/^Version: //p;s/^Source: //p' "$sources"/archives/*.dsc | paste -d' ' - -)

EOF
license() { printf '\n==== %s ====\n\n' "$1" && cat "$2"; }
license PCRE2 "$sources/pcre2/LICENCE"
license utf8proc "$sources/utf8proc/LICENSE.md"
license libcsv "$sources/libcsv/COPYING.LESSER"
license 'GNU libmicrohttpd' "$sources/libmicrohttpd/COPYING"
license zlib "$sources/zlib/LICENSE"
license zstd "$sources/libzstd/LICENSE"
license xxHash "$sources/xxhash/LICENSE"
license SQLite "$sources/sqlite3/LICENSE.md"
license jansson "$sources/jansson/LICENSE"
license 'musl, in static programs' "$zig/lib/libc/musl/COPYRIGHT"
license 'the runtime of Zig' "$zig/LICENSE"
