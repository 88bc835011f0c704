#!/usr/bin/env bash
# dist.sh FOLDER PROCESSOR...: builds the packages of capp for each processor (x86_64, aarch64) into FOLDER: a wheel for
# any Linux with glibc 2.17 or later. The compiler is Zig's Clang, which has stubs of old C libraries; the other libraries
# are Debian's archives.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
folder=$1
shift
python=$("$here/venv.sh" "$here/dist_requirements.txt")
declare -A debian=([x86_64]=amd64 [aarch64]=arm64)
mkdir -p "$folder"

# zig_file PROCESSOR TARGET LIBRARIES: Meson's cross file for a target of Zig.
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
c_link_args = ['-L$found']
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
done
