"""The library with another compiler, another C library and another system's headers: clang, musl, macOS. Here each of its files
is compiled alone, which is quick. make check also builds everything with clang and against musl, and runs the C tests
(test_unit.py) and compares the bits (test_expected_bits.py) of these builds."""
import json
import platform
import re
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OTHERS = ("pcre2.h", "utf8proc.h")
MUSL = Path(f"/usr/include/{platform.machine()}-linux-musl")
WITH_A_FILE = ("-c", "-o", "-MQ", "-MF")


def flags_of(command):
    """What of a compiler's command says how to understand the source."""
    words = shlex.split(command)
    return [word for word, before in zip(words, ["", *words]) if word.startswith("-") and word not in (*WITH_A_FILE, "-MD")
            and before not in WITH_A_FILE and not word.startswith(("-O", "-fdiagnostics"))]


def library(build):
    """{file of the library: its flags}"""
    entries = json.loads((build / "compile_commands.json").read_text())
    files = {(build / entry["file"]).resolve(): flags_of(entry["command"]) for entry in entries}
    return {path: flags for path, flags in files.items() if path.is_relative_to(ROOT / "src")}


def kernels_of_arm():
    """{kernel of AArch64: the flag of its instruction set, if it has one}, as in meson.build"""
    text = (ROOT / "meson.build").read_text()
    flags = dict(re.findall(r"^(with_\w+) = .*?'(-march=[^']+)'", text, re.MULTILINE))
    listed = re.search(r"kernel_flags_aarch64 = \{(.*?)\}", text, re.DOTALL)[1]
    return {ROOT / "src" / "kernel" / f"{name}.c": [flags[word] for word in re.findall(r"with_\w+", words)]
            for name, words in re.findall(r"'(\w+)': (.*),", listed)}


def headers(folder):
    """A folder with the headers of the two other libraries and nothing else of this system."""
    for name in OTHERS:
        (found,) = [path for path in (Path("/usr/include"), Path("/usr/local/include")) if (path / name).exists()][:1]
        (folder / name).symlink_to(found / name)
    return folder


def rejected(build, files, target, system, others):
    """{file: what clang says against it}: a target with the C headers of the folder `system`."""
    def check(path):
        command = ["clang", "-target", target, "-nostdlibinc", "-isystem", system, "-isystem", others, *files[path],
                   "-Wno-unknown-warning-option", "-Werror", "-fsyntax-only", path]
        return subprocess.run(list(map(str, command)), cwd=build, capture_output=True, text=True)

    with ThreadPoolExecutor() as pool:
        done = dict(zip(files, pool.map(check, files)))
    return {str(path.name): one.stderr for path, one in done.items() if one.returncode}


# What gcc takes with glibc's headers, and clang or musl does not.
WRONG = {"glibc.c": "#include <execinfo.h>\n", "clang.c": "int twice(int n) {\n    n = n;\n    return 2 * n;\n}\n",
         "macos.c": "#include <sys/sysinfo.h>\n"}


@pytest.fixture
def wrong(build, tmp_path):
    """Files with the flags of one of the library's, each with a line that is wrong somewhere."""
    flags = library(build)[ROOT / "src" / "base" / "pool.c"]
    for name, text in WRONG.items():
        (tmp_path / name).write_text(text)
    return {tmp_path / name: flags for name in WRONG}


@pytest.mark.skipif(not MUSL.is_dir() or not shutil.which("clang"), reason="no clang or no musl: tools/setup.sh test")
def test_clang_takes_every_file_with_the_headers_of_musl(build, wrong, tmp_path):
    files = library(build)
    assert len(files) > 150 and any(path.parent.name == "kernel" for path in files)
    target, others = f"{platform.machine()}-linux-musl", headers(tmp_path)
    assert rejected(build, files, target, MUSL, others) == {}
    assert list(rejected(build, wrong, target, MUSL, others)) == ["glibc.c", "clang.c"]


@pytest.mark.long
def test_macos_headers_have_all_that_the_library_needs(build, wrong, tmp_path):
    """On Apple's processors. Except for the files of the platform, which are Linux's and would be written for macOS, and for kernels of
    x86-64. The headers are in Zig."""
    python = subprocess.run([ROOT / "tools" / "venv.sh", ROOT / "packaging" / "requirements.txt"], capture_output=True, text=True, check=True)
    (system,) = Path(python.stdout.strip()).parent.parent.glob("lib/python3*/site-packages/ziglang/lib/libc/include/any-darwin-any")
    files = library(build)
    plain = files[ROOT / "src" / "base" / "pool.c"]
    files = {path: plain for path, flags in files.items() if not path.name.startswith("platform") and not path.stem.endswith("x86_64")
             and not any(flag.startswith("-m") for flag in flags)}
    files |= {path: plain + flags for path, flags in kernels_of_arm().items()}
    assert len(files) > 150 and len([path for path in files if "neon" in path.name]) > 4
    others = headers(tmp_path)
    assert rejected(build, files, "arm64-apple-macos12", system, others) == {}
    assert list(rejected(build, wrong, "arm64-apple-macos12", system, others)) == ["clang.c", "macos.c"]
