#!/usr/bin/env bash
# sources.sh FOLDER: gets the Debian sources of the libraries that wheels and static programs contain, and unpacks them
# into FOLDER/LIBRARY, with Debian's patches. apt checks their signatures. FOLDER/archives has the files as Debian has
# them, FOLDER/include the headers of libcurl and OpenSSL, which capp loads at run time. If FOLDER is complete, it does
# nothing and is fast.
set -euo pipefail

folder=$1
libraries=(pcre2 utf8proc libcsv zlib libzstd xxhash sqlite3 jansson libmicrohttpd)
headers=(libcurl4-openssl-dev libssl-dev)
[ "$(cat "$folder/complete" 2>/dev/null)" != "${libraries[*]} ${headers[*]}" ] || exit 0

rm -rf "$folder"
mkdir -p "$folder"/{apt/lists/partial,apt/archives/partial,archives,include,headers}
folder=$(readlink -f "$folder")
touch "$folder/apt/status"
apt() {
    apt-get -q -y -o Dir::Etc::SourceList="$folder/apt/debian.sources" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$folder/apt/lists" -o Dir::State::Status="$folder/apt/status" \
        -o Dir::Cache="$folder/apt" -o Debug::NoLocking=1 -o APT::Sandbox::User=root "$@"
}
# This system's own archives, for sources too.
with_fixes() { sed 's/^Types:.*/Types: deb deb-src/' /etc/apt/sources.list.d/debian.sources; }
release_alone() { with_fixes | awk 'BEGIN { RS = ""; ORS = "\n\n" } !/-security/'; }
fetch() {
    "$1" >"$folder/apt/debian.sources"
    apt update && cd "$folder/archives" && apt source --download-only "${libraries[@]}" &&
        cd "$folder/headers" && apt download "${headers[@]}"
}
echo "Getting Debian's sources of ${libraries[*]}"
if ! (fetch with_fixes) >"$folder/apt/log" 2>&1; then
    echo "This system's mirror lacks the sources of security fixes: taking those of the release"
    rm -f "$folder"/archives/* "$folder"/headers/*
    (fetch release_alone) >"$folder/apt/log" 2>&1 || failed=yes
fi
if [ -n "${failed:-}" ]; then
    tail -n 20 "$folder/apt/log" >&2
    echo "sources.sh: apt could not get these sources; see above" >&2
    exit 2
fi
for library in "${libraries[@]}"; do
    dpkg-source --no-check -x "$folder"/archives/"$library"_*.dsc "$folder/$library" >>"$folder/apt/log"
done
for package in "$folder"/headers/*.deb; do
    dpkg-deb -x "$package" "$folder/headers"
done
cp -r "$folder"/headers/usr/include/*-linux-gnu/{curl,openssl} "$folder/include/"
cp -rn "$folder"/headers/usr/include/openssl "$folder/include/"

# Debian's sources have SQLite in many files.
(cd "$folder/sqlite3" && ./configure && make sqlite3.c) >>"$folder/apt/log" 2>&1
rm -rf "$folder/headers" "$folder/apt" "$folder"/*.orig*
echo "${libraries[*]} ${headers[*]}" >"$folder/complete"
