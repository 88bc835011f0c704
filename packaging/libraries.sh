#!/usr/bin/env bash
# libraries.sh SOURCES FOLDER: builds archives of the libraries for the compiler FOLDER/cc (zig.sh), with position-independent
# code, and installs them into FOLDER with headers and pkg-config files. SOURCES is the folder of sources.sh. If FOLDER is
# complete, it does nothing and is fast.
set -euo pipefail

sources=$(readlink -f "$1")
folder=$(readlink -f "$2")
here=$(dirname "$(readlink -f "$0")")
wanted=$(cat "$sources/complete" "$here/libraries.sh" "$folder/cc" | sha256sum)
[ "$(cat "$folder/complete" 2>/dev/null)" != "$wanted" ] || exit 0

host=$(sed -n "s/.*-target \([^ .]*\).*/\1/p" "$folder/cc")
export CC="$folder/cc" AR="$folder/ar" RANLIB="$folder/ranlib" CFLAGS='-O2 -fPIC'
rm -rf "$folder/building" "$folder/lib" "$folder/include"
mkdir -p "$folder"/{building,include,lib/pkgconfig}
cp -r "$sources/include/." "$folder/include/"

pkg_config() { # NAME VERSION LIBS
    printf 'Name: %s\nDescription: %s\nVersion: %s\nLibs: %s\nCflags: -I%s\n' "$1" "$1" "$2" "$3" "$folder/include" \
        >"$folder/lib/pkgconfig/$1.pc"
}
# Headers alone: capp loads these two.
pkg_config libcurl "$(sed -n 's/^#define LIBCURL_VERSION "\(.*\)"/\1/p' "$folder/include/curl/curlver.h")" ''
pkg_config libcrypto "$(sed -n 's/^# *define OPENSSL_VERSION_STR "\(.*\)"/\1/p' "$folder/include/openssl/opensslv.h")" ''

# Each function below builds and installs a library in a copy of its sources. Most are compiled here file by file, as their
# authors allow: configure scripts would take most of the time.
archive() { # PKG_CONFIG_NAME NAME HEADERS SOURCES FLAGS...
    local package=$1 name=$2 headers=$3 sources=$4 version
    shift 4
    version=$(dpkg-parsechangelog -S Version | sed 's/^[0-9]*://; s/[+-].*//; s/\.dfsg//')
    # shellcheck disable=SC2086
    printf '%s\n' $sources | xargs -P 2 -I '{}' sh -c '"$@" -c "{}" -o "$(basename "{}" .c).o"' - "$CC" $CFLAGS "$@"
    $AR rcs "$folder/lib/lib$name.a" ./*.o
    # shellcheck disable=SC2086
    cp $headers "$folder/include/"
    pkg_config "$package" "$version" "-L$folder/lib -l$name"
}
build_pcre2() { # as NON-AUTOTOOLS-BUILD says
    cp src/config.h.generic src/config.h
    cp src/pcre2.h.generic src/pcre2.h
    cp src/pcre2_chartables.c.dist src/pcre2_chartables.c
    archive libpcre2-8 pcre2-8 src/pcre2.h "$(pcre2_files)" -Isrc -DHAVE_CONFIG_H -DPCRE2_CODE_UNIT_WIDTH=8 \
        -DPCRE2_STATIC -DSUPPORT_PCRE2_8 -DSUPPORT_UNICODE -DSUPPORT_JIT -DHAVE_ATTRIBUTE_UNINITIALIZED \
        -DHAVE_INTTYPES_H -DHAVE_STDINT_H -DHAVE_UNISTD_H -DHAVE_MKOSTEMP
}
pcre2_files() { sed -n '/^COMMON_SOURCES/,/[^\\]$/p' Makefile.am | grep -o 'src/[a-z0-9_]*\.c' && echo src/pcre2_chartables.c; }
build_jansson() {
    sed 's/@json_inline@/inline/; s/@json_have_[a-z_]*@/1/' src/jansson_config.h.in >src/jansson_config.h
    : >src/jansson_private_config.h # its lines are the flags below
    archive jansson jansson 'src/jansson.h src/jansson_config.h' "$(ls src/*.c)" -Isrc -DHAVE_ATOMIC_BUILTINS -DHAVE_ENDIAN_H \
        -DHAVE_FCNTL_H -DHAVE_GETPID -DHAVE_GETTIMEOFDAY -DHAVE_LOCALECONV -DHAVE_READ -DHAVE_SCHED_H -DHAVE_SCHED_YIELD \
        -DHAVE_STDINT_H -DHAVE_SYNC_BUILTINS -DHAVE_SYS_PARAM_H -DHAVE_SYS_STAT_H -DHAVE_SYS_TIME_H -DHAVE_SYS_TYPES_H \
        -DHAVE_UNISTD_H -DUSE_URANDOM
}
build_utf8proc() { archive libutf8proc utf8proc utf8proc.h utf8proc.c -DUTF8PROC_STATIC; }
build_libcsv() { archive libcsv csv csv.h libcsv.c; }
build_xxhash() { archive libxxhash xxhash 'xxhash.h xxh3.h' xxhash.c; }
build_sqlite3() { archive sqlite3 sqlite3 sqlite3.h sqlite3.c -DSQLITE_THREADSAFE=1 -DSQLITE_OMIT_LOAD_EXTENSION; }
build_zlib() { archive zlib z 'zlib.h zconf.h' "$(ls ./*.c)" -DHAVE_UNISTD_H -D_LARGEFILE64_SOURCE=1; }
build_libzstd() { make -C lib -j2 PREFIX="$folder" install-static install-includes install-pc; }
build_libmicrohttpd() {
    ./configure --host="$host" --prefix="$folder" --enable-static --disable-shared --with-pic --disable-https --disable-doc \
        --disable-examples --disable-curl
    touch aclocal.m4 && touch configure Makefile.in ./*/Makefile.in ./*/*/Makefile.in MHD_config.h.in config.status
    make -j2 install
}

for source in "$sources"/*/; do
    library=$(basename "$source")
    [ "$(type -t "build_$library")" = function ] || continue
    cp -a "$source" "$folder/building/$library"
    echo "Building $library for $host"
    (cd "$folder/building/$library" && "build_$library") >"$folder/building/$library.log" 2>&1 & # so that set -e holds inside
    if ! wait $!; then
        tail -n 20 "$folder/building/$library.log" >&2
        echo "libraries.sh: $library was not built; see above" >&2
        exit 2
    fi
done
rm -rf "$folder/building"
echo "$wanted" >"$folder/complete"
