#!/usr/bin/env bash
# compiler.sh WORK TARGET: makes the C compiler WORK/TARGET for a target such as x86_64-linux-musl or aarch64-linux-gnu.2.17 (zig.sh),
# with the libraries that capp needs (sources.sh, libraries.sh). WORK/TARGET/meson.ini is a cross file for it.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
mkdir -p "$1"
"$here/sources.sh" "$1/sources"
"$here/zig.sh" "$2" "$1/$2"
"$here/libraries.sh" "$1/sources" "$1/$2"
