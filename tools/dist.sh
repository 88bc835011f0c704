#!/usr/bin/env bash
# dist.sh FOLDER PROCESSOR...: builds the packages of capp for each processor (x86_64, aarch64) into FOLDER: a wheel for
# any Linux with glibc 2.17 or later, and a static binary of the command for any Linux. The compiler is Zig's Clang, which
# has stubs of old C libraries and musl; the other libraries are Debian's archives. The static binary cannot load libraries,
# so it neither downloads models nor serves; it says so.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
folder=$1
shift
python=$("$here/venv.sh" "$here/dist_requirements.txt")
declare -A debian=([x86_64]=amd64 [aarch64]=arm64)
mkdir -p "$folder"

# zig_file PROCESSOR TARGET LIBRARIES [LINK-FLAG]: Meson's cross file for a target of Zig.
zig_file() {
    local found=$3/usr/lib/$1-linux-gnu
    cat <<EOF
[binaries]
c = ['$python', '-m', 'ziglang', 'cc', '-target', '$2']
ar = ['$python', '-m', 'ziglang', 'ar']
ranlib = ['$python', '-m', 'ziglang', 'ranlib']
pkg-config = 'pkg-config'
pkgconfig = 'pkg-config'
[built-in options]
c_args = ['-I$3/usr/include', '-I$3/usr/include/$1-linux-gnu']
c_link_args = ['-L$found'${4:+, '$4', '-s'}]
[properties]
sys_root = '$3'
pkg_config_libdir = '$found/pkgconfig'
[host_machine]
system = 'linux'
cpu_family = '$1'
cpu = '$1'
endian = 'little'
EOF
}

for processor in "$@"; do
    libraries=$here/../build-libraries-$processor
    "$here/sysroot.sh" "${debian[$processor]}" "$libraries" libraries
    libraries=$(readlink -f "$libraries")
    zig_file "$processor" "$processor-linux-gnu.2.17" "$libraries" >"$libraries/zig.ini"
    "$here/wheel.sh" "$folder" "$python" "$libraries/zig.ini" "$processor"

    zig_file "$processor" "$processor-linux-musl" "$libraries" -static >"$libraries/musl.ini"
    build=$here/../build-static-$processor
    [ -e "$build/build.ninja" ] ||
        PATH=$(dirname "$python"):$PATH meson setup "$build" "$here/.." --cross-file "$libraries/musl.ini" \
            -Ddefault_library=static -Db_pie=false >/dev/null
    ninja -C "$build" capp
    cp "$build/capp" "$folder/capp-$processor"
    ls "$folder/capp-$processor"
done
