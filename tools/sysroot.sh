#!/usr/bin/env bash
# sysroot.sh ARCHITECTURE FOLDER [PACKAGE...]: unpacks packages of Debian for another architecture (arm64), and what they need,
# into FOLDER: by default the C library and the other libraries that capp needs. It needs neither root nor the architecture in this system's dpkg: apt works on lists of its
# own. FOLDER/root.ini is a part of Meson's cross file, see tools/aarch64.ini. If FOLDER is complete, it does nothing and
# is fast.
set -euo pipefail

architecture=$1
folder=$2
packages=("${@:3}")
[ ${#packages[@]} -gt 0 ] || packages=(libc6-dev libgcc-12-dev ca-certificates libpcre2-dev libutf8proc-dev libcsv-dev libjansson-dev libmicrohttpd-dev
    libsqlite3-dev zlib1g-dev libzstd-dev libxxhash-dev libcurl4-openssl-dev libssl-dev)
[ "$(cat "$folder/complete" 2>/dev/null)" != "${packages[*]}" ] || exit 0

rm -rf "$folder"
mkdir -p "$folder/apt/lists/partial" "$folder/apt/archives/partial"
folder=$(readlink -f "$folder")
touch "$folder/apt/status"
sources=/etc/apt/sources.list.d/debian.sources
[ -e "$sources" ] || sources=/etc/apt/sources.list
apt() {
    apt-get -q -y -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
        -o Dir::Etc::SourceList="$sources" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$folder/apt/lists" \
        -o Dir::State::Status="$folder/apt/status" -o Dir::Cache="$folder/apt" -o Debug::NoLocking=1 "$@"
}
echo "Unpacking the $architecture libraries of Debian into $folder"
if ! { apt update && apt install --download-only --no-install-recommends "${packages[@]}"; } >"$folder/apt/log" 2>&1; then
    tail -n 20 "$folder/apt/log" >&2
    echo "sysroot.sh: apt could not download these packages; see above" >&2
    exit 2
fi
for package in "$folder"/apt/archives/*.deb; do dpkg-deb -x "$package" "$folder"; done
rm -rf "$folder/apt"
# Links to absolute paths lead out of the folder.
find "$folder" -xtype l -lname '/*' -printf '%p %l\n' | while read -r link target; do
    [ ! -e "$folder$target" ] || ln -sfn "$folder$target" "$link"
done
printf "[constants]\nroot = '%s'\n" "$folder" >"$folder/root.ini"
echo "${packages[*]}" >"$folder/complete"
