#!/usr/bin/env bash
# setup.sh GROUP...: installs what the groups (build, test, aarch64, site, format, lint, wheel, dist, coverage, corpus,
# cluster, browser) need and that is missing here, with apt, as root or through a sudo without a password. If it can do neither, it
# prints the one command to run and exits with 2. If nothing is missing, it does nothing and is fast.
set -euo pipefail

missing=()
# need PACKAGE COMMAND...: PACKAGE is needed if the command fails.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
have() { command -v "$1"; }
header() { echo "#include <$1>" | "${CC:-cc}" -E -; }

for group in "$@"; do
    case $group in
    build)
        need gcc have "${CC:-cc}"
        need libc6-dev header stdio.h
        need meson have meson
        need ninja-build have ninja
        need pkg-config have pkg-config
        need libpcre2-dev pkg-config --exists libpcre2-8
        need libutf8proc-dev pkg-config --exists libutf8proc
        need libcsv-dev header csv.h
        need zlib1g-dev pkg-config --exists zlib
        need libzstd-dev pkg-config --exists libzstd
        need libxxhash-dev pkg-config --exists libxxhash
        need libsqlite3-dev pkg-config --exists sqlite3
        need libcurl4-openssl-dev pkg-config --exists libcurl
        need libjansson-dev pkg-config --exists jansson
        need libmicrohttpd-dev pkg-config --exists libmicrohttpd
        need libssl-dev pkg-config --exists libcrypto
        need python3 have "${PYTHON:-python3}"
        need python3-venv "${PYTHON:-python3}" -c 'import ensurepip, venv'
        need ca-certificates test -e "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}"
        ;;
    test)
        need clang-format have clang-format
        need clang have clang
        need musl-dev test -e "/usr/include/$(uname -m)-linux-musl/stdio.h"
        need zstd have zstd
        need tmux have tmux
        need jq have jq
        need zsh have zsh
        need fish have fish
        ;;
    format) need clang-format have clang-format ;;
    site) need mandoc have mandoc ;;
    lint)
        need clang-tidy have clang-tidy
        need cppcheck have cppcheck
        ;;
    aarch64)
        need gcc-aarch64-linux-gnu have aarch64-linux-gnu-gcc
        need libc6-dev-arm64-cross test -e /usr/aarch64-linux-gnu/include/stdio.h
        need qemu-user have qemu-aarch64
        ;;
    wheel)
        need dpkg-dev have dpkg-source
        need tcl have tclsh
        ;;
    dist)
        need debhelper have dh
        need lintian have lintian
        need mmdebstrap have mmdebstrap
        need qemu-user have qemu-aarch64
        ;;
    coverage) need gcovr have gcovr ;;
    corpus)
        need locales test -e /usr/share/i18n/locales/de_DE
        need unicode-data test -e /usr/share/unicode/UnicodeData.txt
        ;;
    browser) need chromium have chromium ;;
    cluster) need openjdk-17-jre-headless have java ;;
    *)
        echo "setup.sh: no group is called '$group'" >&2
        exit 2
        ;;
    esac
done

[ ${#missing[@]} -gt 0 ] || exit 0

by_hand() {
    echo "capp needs packages that are not installed here. Run this line, then try again:" >&2
    echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 2
}

command -v apt-get >/dev/null || by_hand
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || by_hand
    as_root=(sudo -n)
fi

echo "Installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"; }
if ! { apt update && apt install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    echo "apt could not install these packages; see above." >&2
    by_hand
fi
