"""What the build gives to users: the C example, an installation."""
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import abi  # noqa: E402

EXAMPLE = ROOT / "examples" / "classify.c"
TEXTS = ["The striker scored twice in the final.", "Whisk the eggs and fold in the flour.", "Parliament passed the bill."]


def output_of(command, **options):
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_example(build, smollm2):
    lines = output_of([build / "classify_example", smollm2, *TEXTS]).splitlines()
    assert [re.fullmatch(re.escape(text) + r": (\w+) \((\d+) %\)", line)[1] for text, line in zip(TEXTS, lines)] == [
        "sports", "cooking", "politics"]
    assert len(lines) == len(TEXTS)


def test_example_fails_with_a_message(build, tmp_path):
    done = subprocess.run([build / "classify_example", tmp_path / "none.gguf", "a"], capture_output=True, text=True)
    assert done.returncode == 2 and "none.gguf" in done.stderr  # CAPP_EIO
    assert subprocess.run([build / "classify_example"], capture_output=True).returncode == 2


def test_install(build, tiny_model, tmp_path):
    """A program outside the source tree builds against an installation with pkg-config and runs with the shared
    library."""
    output_of(["meson", "install", "-C", build, "--no-rebuild", "--destdir", tmp_path])
    (config,) = tmp_path.rglob("capp.pc")
    library = config.parent.parent
    environment = {**os.environ, "PKG_CONFIG_PATH": str(config.parent), "PKG_CONFIG_SYSROOT_DIR": str(tmp_path),
                   "LD_LIBRARY_PATH": str(library)}
    flags = shlex.split(output_of(["pkg-config", "--cflags", "--libs", "capp"], env=environment))
    output_of([*shlex.split(os.environ.get("CC", "cc")), "-std=c17", "-Wall", "-Wextra", "-pedantic", "-Werror", EXAMPLE,
               *flags, "-o", tmp_path / "example"])
    assert "a: " in output_of([tmp_path / "example", tiny_model, "a"], env=environment)
    (command,) = tmp_path.rglob("bin/capp")
    (page,) = tmp_path.rglob("man1/capp.1")
    assert (page.parent / "capp-classify.1").exists()
    assert len(list(tmp_path.rglob("site-functions/_capp"))) == len(list(tmp_path.rglob("vendor_completions.d/capp.fish"))) == 1
    assert output_of([command, "--version"]).startswith("capp ")
    (completions,) = tmp_path.rglob("bash-completion/completions/capp")
    asked = f'PATH={command.parent}:$PATH; source {completions}; COMP_WORDS=(capp %s); COMP_CWORD=%d; _capp; echo "${{COMPREPLY[@]}}"'
    assert output_of(["bash", "-c", asked % ("cl", 1)]).split() == ["classify"]
    assert "--precision" in output_of(["bash", "-c", asked % ("classify --pre", 2)]).split()
    assert page.read_text().startswith((".", "'"))
    assert list(library.glob("libcapp.a")) and list(library.glob("libcapp.so.0"))


def test_the_shared_library_shows_the_header_and_no_more(build):
    symbols = output_of(["nm", "-D", "--defined-only", build / "libcapp.so"])
    shown = {line.split()[-1].removesuffix("@@CAPP_0") for line in symbols.splitlines() if line.split()[-2] != "A"}
    assert all("@@CAPP_0" in line for line in symbols.splitlines() if line.split()[-2] != "A")
    header = "".join(path.read_text() for path in (ROOT / "include").glob("*.h"))
    declared = set(re.findall(r"CAPP_API [\w ]+?[ *](capp_\w+)\(", header))
    assert len(declared) > 20
    assert shown == declared


def test_the_binary_interface_is_the_one_written_down():
    """Of src/capp.abi, nothing that programs rely on changes or vanishes without a new version."""
    written, now = set((ROOT / "src/capp.abi").read_text().splitlines()), set(abi.interface())
    assert written - now == set(), "this breaks programs: new version in src/capp.map, soversion in meson.build, name of libcapp0"
    assert now - written == set(), "add this with tools/abi.py >src/capp.abi"


@pytest.mark.parametrize("change, to", [
    ("CAPP_API void capp_model_free(capp_model *model);", ""), ("CAPP_API capp_str capp_str_of(const char *text);", "CAPP_API capp_str capp_str_of(const char *text, int);"),
    ("    bool normalize;", "    int normalize;"), ("    const double *prior;", ""), ("CAPP_PRECISION_BF16 = 2", "CAPP_PRECISION_BF16 = 5"),
    ("CAPP_NO_ROW SIZE_MAX", "CAPP_NO_ROW 0")])
def test_a_change_of_the_binary_interface_shows(change, to, tmp_path):
    include = tmp_path / "include"
    shutil.copytree(ROOT / "include", include)
    text = (include / "capp.h").read_text()
    assert change in text
    (include / "capp.h").write_text(text.replace(change, to, 1))
    assert set(abi.interface()) - set(abi.interface(include))


def test_debians_list_of_symbols_is_the_headers():
    listed = re.findall(r"^ (capp_\w+)@CAPP_0 ", (ROOT / "debian/libcapp0.symbols").read_text(), re.M)
    declared = {name for line in (ROOT / "src/capp.abi").read_text().splitlines() if (name := called(line))}
    assert sorted(listed) == sorted(declared)


def called(line):
    found = re.match(r"(?!typedef|offset |size )[\w ]+?[ *](capp_\w+)\(", line)
    return found and found[1]


EXACT = set("fabs floor ceil trunc rint round fmod fmin fmax copysign sqrt frexp ldexp".split())


def test_no_result_depends_on_the_c_librarys_mathematics(build):
    """From libm, the library calls only functions that IEEE 754 defines to the last bit; the others are in
    src/base/math.c."""
    libm = output_of([*shlex.split(os.environ.get("CC", "cc")), "-print-file-name=libm.so.6"]).strip()
    functions = {line.split()[-1].split("@")[0] for line in output_of(["nm", "-D", "--defined-only", libm]).splitlines()}
    assert {"exp", "erff", "pow"} <= functions
    called = {line.split()[-1].split("@")[0] for line in output_of(["nm", "-u", build / "libcapp.so"]).splitlines()}
    assert {name for name in called & functions if name not in EXACT and name.removesuffix("f") not in EXACT} == set()


@pytest.mark.parametrize("family, endian, system", [("s390x", "big", "linux"), ("aarch64", "big", "linux"),
                                                    ("x86", "little", "linux"), ("aarch64", "little", "darwin")])
def test_other_machines_are_refused_with_a_sentence(tmp_path, family, endian, system):
    (tmp_path / "machine.ini").write_text(
        f"[binaries]\nc = 'cc'\n[properties]\nskip_sanity_check = true\n[host_machine]\nsystem = '{system}'\n"
        f"cpu_family = '{family}'\ncpu = '{family}'\nendian = '{endian}'\n")
    done = subprocess.run(["meson", "setup", tmp_path / "build", ROOT, "--cross-file", tmp_path / "machine.ini"],
                          capture_output=True, text=True)
    assert done.returncode != 0
    assert (f"capp runs on Linux, on the 64-bit little-endian processors x86-64 and AArch64, and this build is for {system}, "
            f"{family}, {endian}-endian. Build it on or for one of these.") in done.stdout


def test_a_compiler_for_another_machine_is_refused_with_a_sentence():
    """The same without Meson: the header of the platform has the check."""
    platform = ROOT / "src" / "base" / "platform.h"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    for flags, sentence in [(["-U__BYTE_ORDER__", "-D__BYTE_ORDER__=4321"], "capp needs a little-endian processor"),
                            (["-U__SIZEOF_POINTER__", "-D__SIZEOF_POINTER__=4"], "capp needs 64-bit addresses")]:
        done = subprocess.run([*compiler, *flags, "-x", "c", "-fsyntax-only", "-I", ROOT / "src", platform],
                              capture_output=True, text=True)
        assert done.returncode != 0 and sentence in done.stderr


def test_header_in_cpp(tmp_path):
    source = tmp_path / "a.cpp"
    source.write_text('#include "capp_arrays.h"\n#include "capp_forecast.h"\n#include "capp_queue.h"\nint main() { capp_model_options options; return sizeof options == 0; }\n')
    compiler = os.environ.get("CXX", "c++")
    try:
        output_of([compiler, "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}", "-fsyntax-only", source])
    except FileNotFoundError:
        pytest.skip("no C++ compiler")

