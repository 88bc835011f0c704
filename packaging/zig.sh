#!/usr/bin/env bash
# zig.sh TARGET FOLDER: writes a C compiler for TARGET (x86_64-linux-gnu.2.17, aarch64-linux-musl) into FOLDER: cc, ar and
# ranlib, which are the Zig of packaging/requirements.txt, and meson.ini, a cross file with the libraries of
# FOLDER/lib. Zig brings the headers and the symbols of each C library with it.
set -euo pipefail

target=$1
mkdir -p "$2"
folder=$(readlink -f "$2")
here=$(dirname "$(readlink -f "$0")")
python=$("$here/../tools/venv.sh" "$here/requirements.txt")
zig=$("$python" -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))')
processor=${target%%-*}

tool() { # NAME COMMAND
    printf '#!/bin/sh\n%s\n' "$2" >"$folder/$1"
    chmod +x "$folder/$1"
}
# Zig guesses the language of its standard input for some flags alone, and Meson 1.0 asks with others and does not know
# Zig's linker, which takes the flags of LLVM's.
tool cc "case \" \$* \" in
' -E -dM - ' | ' -dM -E - ') set -- -x c \"\$@\" ;;
*' -Wl,--version '*) echo 'LLD (compatible with GNU linkers)' && exit ;;
esac
exec $zig cc -target $target \"\$@\""
tool ar "exec $zig ar \"\$@\""
tool ranlib "exec $zig ranlib \"\$@\""
cat >"$folder/meson.ini" <<EOF
[binaries]
c = '$folder/cc'
ar = '$folder/ar'
pkgconfig = 'pkg-config'

[properties]
needs_exe_wrapper = true
pkg_config_libdir = '$folder/lib/pkgconfig'

[built-in options]
c_link_args = ['-s']

[host_machine]
system = 'linux'
cpu_family = '$processor'
cpu = '$processor'
endian = 'little'
EOF
