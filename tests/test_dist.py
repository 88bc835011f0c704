"""The packages of make dist (CAPP_DIST), each in a clean room: wheels in empty environments, static programs without any
library, Debian packages in a new Debian. AArch64 runs under qemu's user emulation."""
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from serving import serving

DIST = os.environ.get("CAPP_DIST")
ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800),
              pytest.mark.skipif(not DIST, reason="CAPP_DIST names no folder of packages: make dist")]

PROCESSORS = ("x86_64", "aarch64")
ISAS = {"x86_64": ("ref", "avx2", "avx512", "avx512vnni", "avx512bf16"), "aarch64": ("ref", "neon", "neondot")}
LIBRARIES = ("PCRE2", "utf8proc", "libcsv", "libmicrohttpd", "zlib", "zstd", "xxHash", "SQLite", "jansson")


def package(pattern):
    (found,) = Path(DIST).glob(pattern)
    return found


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def debian_arm():
    """A folder with Debian's Python for arm64, and the library of C++ that NumPy needs."""
    folder = ROOT / "build-dist" / "python-arm64"
    run(ROOT / "tools" / "sysroot.sh", "arm64", folder, "python3", "libstdc++6")
    return folder


def emulator(processor, root="/"):
    return [] if processor == "x86_64" else [shutil.which("qemu-aarch64"), "-L", root]


def readme_example(model):
    """The Python of README.md, whose model and lists are this test's; the result of its first call is printed."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert 'Model("model.gguf")' in code and "\npredict(" in code
    code = code.replace('"model.gguf"', repr(str(model))).replace("\npredict(", "\nprint(capp.__file__, capp.__version__)\nprint(predict(")
    code = code.replace(', model)\npredict_proba', ', model))\nprint(predict_proba').replace("prior=[0.5, 0.3, 0.2])", "prior=[0.5, 0.3, 0.2]).shape)")
    return 'import capp\ntexts, classes = ["a goal", "a soup"], ["sports", "cooking", "politics"]\n' + code


def check_python(said, site):
    at, answer, shape = said.strip().splitlines()
    assert at.startswith(f"{site}/capp/__init__.py ") and answer == "cooking" and shape == "(2, 3)"


def test_the_wheel_of_this_machine(tmp_path, smollm2):
    python = tmp_path / "venv/bin/python"
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:", package("*x86_64.whl"))
    alone = {"PATH": "/usr/bin:/bin"}
    (site,) = tmp_path.glob("venv/lib/python3*/site-packages")
    check_python(run(python, "-c", readme_example(smollm2), env=alone, cwd=tmp_path), site)
    command = tmp_path / "venv/bin/capp"
    assert run(command, "--version", env=alone) == "capp 0.1.0\n"
    (tmp_path / "rows.txt").write_text("Whisk the eggs and fold in the flour. This is about\n")
    rows = run(command, "classify", "-m", smollm2, "-c", "sports,cooking,politics", tmp_path / "rows.txt", env=alone)
    assert json.loads(rows)["prediction"] == "cooking"


def test_the_wheel_of_aarch64(tmp_path, smollm2, debian_arm):
    """pip of this machine chooses and installs the packages; Debian's Python for arm64 runs them."""
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:", "--target", site,
        "--implementation", "cp", "--python-version", "3.11", *(part for minor in (17, 28) for part in ("--platform", f"manylinux_2_{minor}_aarch64")),
        package("*aarch64.whl"))
    python = [*emulator("aarch64", debian_arm), debian_arm / "usr/bin/python3.11"]
    alone = {"PATH": "", "PYTHONHOME": str(debian_arm / "usr"), "PYTHONPATH": str(site)}
    check_python(run(*python, "-c", readme_example(smollm2), env=alone, cwd=tmp_path), site)
    command = [*emulator("aarch64", debian_arm), next(site.rglob("bin/capp"))]
    assert run(*command, "--version") == "capp 0.1.0\n"


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_wheel_needs_an_old_c_library_alone(processor, tmp_path):
    wheel = package(f"*{processor}.whl")
    assert f"manylinux_2_17_{processor}" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    programs = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
    assert {path.name.split(".so")[0] for path in programs} == {"capp", "libcapp"}
    for path in programs:
        text = run("readelf", "-dW", path) + run("readelf", "-VW", path)
        needed = set(re.findall(r"\(NEEDED\) .*\[(.*)\]", text))
        assert needed and needed <= {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
        assert max(int(minor) for minor in re.findall(r"GLIBC_2\.(\d+)", text)) <= 17


@pytest.fixture(scope="module", params=PROCESSORS)
def static(request, tmp_path_factory):
    """The processor, the unpacked package, a room that has the program and nothing else, and a command that runs it there: in an
    empty chroot or, for AArch64, under qemu."""
    folder = tmp_path_factory.mktemp(request.param)
    with tarfile.open(package(f"*linux-{request.param}-static.tar.gz")) as archive:
        archive.extractall(folder)
    (local,) = folder.iterdir()
    room = folder / "room"
    room.mkdir()
    shutil.copy(local / "bin/capp", room / "capp")
    emulated = f'exec {shutil.which("qemu-aarch64")} -L "{room}" ./capp "$@"'
    alone = f'exec {"" if os.geteuid() == 0 else "unshare --map-root-user "}chroot "{room}" /capp "$@"'
    (folder / "capp").write_text(f'#!/bin/sh\ncd "{room}"\n{emulated if request.param == "aarch64" else alone}\n')
    (folder / "capp").chmod(0o755)
    return request.param, local, room, folder / "capp"


def test_a_static_program_says_what_it_cannot(static):
    _, local, _, capp = static
    files = {str(path.relative_to(local)) for path in local.rglob("*") if path.is_file()}
    assert {"bin/capp", "share/man/man1/capp.1", "share/man/man1/capp-classify.1", "share/doc/capp/LICENSE", "share/doc/capp/LICENSES.txt",
            "share/bash-completion/completions/capp", "share/zsh/site-functions/_capp", "share/fish/vendor_completions.d/capp.fish"} <= files
    headers = run("readelf", "-lW", local / "bin/capp")
    assert "INTERP" not in headers and "(NEEDED)" not in run("readelf", "-dW", local / "bin/capp")
    assert run(capp, "--version") == "capp 0.1.0 (static, without downloads)\n"
    done = subprocess.run([capp, "models", "fetch", "someone/something"], capture_output=True, text=True)
    assert done.returncode == 2 and "static program" in done.stderr and "Debian package" in done.stderr


def test_a_static_program_gives_the_bits_of_the_usual_build(static, capp, tiny_model, tiny_gpt2, tiny_gemma3, smollm2):
    """Log-probabilities in float32, and of integers in i16, with each instruction set. On AArch64 they are those of x86-64."""
    processor, _, room, alone = static
    rows = [{"text": f"the {word}", "completions": ["sat on a mat", f"ran after the {word}", "é"]} for word in ("cat", "dog", "hen")]
    (room / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    compared = set()
    for path, precision in [(tiny_model, "f32"), (tiny_gpt2, "f32"), (tiny_gemma3, "f32"), (smollm2, "i16")]:
        model = shutil.copy(path, room)
        options = ["--precision", precision, "-q"]
        wanted = run(capp, "logprobs", "-m", model, *options, room / "rows.jsonl")
        assert len(wanted.splitlines()) == len(rows)
        for isa in ISAS[processor]:
            said = subprocess.run([alone, "logprobs", "-m", Path(model).name, *options, "--isa", isa, "rows.jsonl"], capture_output=True, text=True)
            if "this machine does not support" not in said.stderr:
                assert said.stdout == wanted, f"{path}, {precision}, {isa}: {said.stderr}"
                compared.add(isa)
    assert {"ref", ISAS[processor][1]} <= compared


def test_a_static_program_serves(static, tmp_path, tiny_model):
    _, _, room, alone = static
    shutil.copy(tiny_model, room / "served.gguf")
    with serving(tmp_path, "-m", "served.gguf", build=alone.parent) as server:
        answer = server.post("/v1/completions", prompt="the cat", max_tokens=4, seed=1)  # a room without /dev has no random numbers
    assert answer["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize("processor", PROCESSORS)
def test_licenses_are_beside_what_they_are_for(processor):
    with zipfile.ZipFile(package(f"*{processor}.whl")) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("dist-info/LICENSES.txt"))
        wheel = archive.read(name).decode()
    with tarfile.open(package(f"*linux-{processor}-static.tar.gz")) as archive:
        (member,) = (member for member in archive if member.name.endswith("/LICENSES.txt"))
        assert archive.extractfile(member).read().decode() == wheel
    assert all(f"{library} ====" in wheel for library in LIBRARIES)
    assert wheel.count("GNU LESSER GENERAL PUBLIC LICENSE") >= 2
    with tarfile.open(package("*-sources.tar.xz")) as archive:
        names = archive.getnames()
    for part in (r"/lgpl/libcsv_.*\.orig\.tar\.", r"/lgpl/libmicrohttpd_.*\.orig\.tar\.", "/packaging/dist.sh$", "/src/capp.c$"):
        assert any(re.search(part, name) for name in names), part


IN_DEBIAN = r"""
set -eu
cd /srv
test "$(capp --version)" = "capp 0.1.0"
cc -o example /usr/share/doc/libcapp-dev/examples/classify.c $(pkg-config --cflags --libs capp)
cc -o whole /usr/share/doc/libcapp-dev/examples/classify.c $(pkg-config --cflags capp) /usr/lib/*/libcapp.a $(pkg-config --static --libs-only-l capp | sed s/-lcapp//)
./example model.gguf 'Whisk the eggs and fold in the flour.' | tee said | grep -q ': cooking ('
./whole model.gguf 'Whisk the eggs and fold in the flour.' | cmp - said
ldd example | grep -q 'libcapp.so.0 => /'
echo 'Whisk the eggs and fold in the flour. This is about' | capp classify -q -m model.gguf -c sports,cooking,politics | grep -q '"prediction": "cooking"'
man -P cat capp | grep -q 'let a language model choose'
man -P cat capp classify | grep -q 'capp.*classify'
bash -c '. /usr/share/bash-completion/completions/capp; COMP_WORDS=(capp cl); COMP_CWORD=1; _capp; test "${COMPREPLY[*]}" = classify'
test -e /usr/share/zsh/vendor-completions/_capp -a -e /usr/share/fish/vendor_completions.d/capp.fish
grep -q '^ExecStart=/usr/bin/capp serve' /lib/systemd/system/capp.service
capp serve -m model.gguf --port 0 --help >/dev/null
apt-get remove -qq -y capp libcapp0 >/dev/null
! command -v capp
echo passed >passed
"""


@pytest.mark.skipif(os.geteuid() != 0 and not shutil.which("newuidmap"), reason="mmdebstrap needs root or newuidmap")
def test_the_debian_packages_in_a_new_debian(tmp_path, smollm2):
    packages = sorted(Path(DIST).glob("*.deb"))
    assert {path.name.split("_")[0] for path in packages} == {"capp", "libcapp0", "libcapp-dev", "capp-dbgsym", "libcapp0-dbgsym"}
    (tmp_path / "check.sh").write_text(IN_DEBIAN)
    shutil.copy(smollm2, tmp_path / "model.gguf")
    wanted = [path for path in packages if "dbgsym" not in path.name]
    run("mmdebstrap", "--quiet", "--variant=apt", "--include=gcc,libc6-dev,man-db,pkg-config", "--format=null",
        f"--customize-hook=copy-in {' '.join(map(str, [*wanted, tmp_path / 'check.sh', tmp_path / 'model.gguf']))} /srv",
        '--customize-hook=chroot "$1" sh -c "apt-get install -qq -y /srv/*.deb >/srv/log 2>&1 || { cat /srv/log; exit 1; }"',
        '--customize-hook=chroot "$1" sh /srv/check.sh', f"--customize-hook=copy-out /srv/passed {tmp_path}", "bookworm", "/dev/null", "/etc/apt/sources.list.d/debian.sources")
    assert (tmp_path / "passed").read_text() == "passed\n"
