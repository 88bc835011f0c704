#!/usr/bin/env bash
# deb.sh FOLDER: builds the Debian packages libcapp0, libcapp-dev and capp for this machine into FOLDER, and checks them
# with lintian. Needs debhelper and lintian (tools/setup.sh dist).
set -euo pipefail

root=$(dirname "$(readlink -f "$0")")/..
mkdir -p "$1"
folder=$(readlink -f "$1")
version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$root/meson.build")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=$work/capp-$version
mkdir "$source"
(cd "$root" && tar -c --exclude-vcs --exclude='./build*' --exclude=./dist --exclude=.pytest_cache .) | tar -x -C "$source"
cp -r "$root/packaging/debian" "$source/debian"
printf 'capp (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- The capp authors <capp@localhost>  %s\n' \
    "$version" "$(date -R)" >"$source/debian/changelog"
if ! (cd "$source" && dpkg-buildpackage -b -us -uc) >"$work/log" 2>&1; then
    tail -n 40 "$work/log" >&2
    echo "deb.sh: dpkg-buildpackage failed; see above" >&2
    exit 1
fi
lintian --allow-root --fail-on error,warning "$work"/*.changes
mv "$work"/*.deb "$folder"
ls "$folder"/*.deb
