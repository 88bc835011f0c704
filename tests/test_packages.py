"""The packages that `make dist` makes, each in a clean place: wheels in empty virtual environments, the static binary,
Debian's packages in a folder of their own or, as root, in a chroot. Those for AArch64 run under qemu."""
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

DIST = os.environ.get("CAPP_DIST")
ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "fixtures" / "tiny"
pytestmark = [pytest.mark.long, pytest.mark.skipif(not DIST, reason="CAPP_DIST names no folder of packages: make dist")]
PROCESSORS = ("x86_64", "aarch64")
MACHINES = {"x86_64": "Advanced Micro Devices X86-64", "aarch64": "AArch64"}


def output_of(*command, **options):
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def runner(processor):
    """What runs a program of the processor here."""
    if processor == platform.machine():
        return []
    return ["qemu-aarch64", "-L", ROOT / "build-sysroot-aarch64"]


@pytest.fixture(params=PROCESSORS)
def processor(request):
    return request.param


@pytest.fixture
def wheel(processor):
    (found,) = Path(DIST).glob(f"capp-*manylinux*_{processor}.whl")
    return found


def test_a_wheel_is_for_old_systems(wheel, processor):
    """Ubuntu 22.04 has glibc 2.35, RHEL 8 has 2.28; the wheel needs 2.17."""
    versions = [tuple(map(int, version)) for version in re.findall(r"manylinux_(\d+)_(\d+)_", wheel.name)]
    assert versions and max(versions) <= (2, 28)
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    assert any(re.search(r"\.data/scripts/capp$", name) for name in names)
    assert any(re.search(r"libcapp\.so\.0", name) for name in names)


def test_a_wheel_has_its_command(wheel, processor, tmp_path):
    with zipfile.ZipFile(wheel) as content:
        content.extractall(tmp_path)
    (command,) = tmp_path.glob("*.data/scripts/capp")
    command.chmod(0o755)
    assert MACHINES[processor] in output_of("readelf", "-h", command)
    assert output_of(*runner(processor), command, "--version").startswith("capp ")
    facts = json.loads(output_of(*runner(processor), command, "inspect", "--fingerprint", "--precision", "f32", TINY / "llama"))
    assert facts["precision"] == "f32"


def test_a_wheel_in_an_empty_environment(tmp_path, tiny_model):
    (wheel,) = Path(DIST).glob(f"capp-*manylinux*_{platform.machine()}.whl")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    binaries = tmp_path / "venv" / "bin"
    subprocess.run([binaries / "pip", "install", "-q", "--disable-pip-version-check", wheel], check=True)
    assert output_of(binaries / "capp", "--version").startswith("capp ")
    code = "import sys; from capp.classify import predict; print(predict('the cat', ['sat', 'ran'], sys.argv[1]))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CAPP_", "PYTHON"))}
    assert output_of(binaries / "python", "-c", code, tiny_model, cwd=tmp_path, env=environment).strip() in ("sat", "ran")


def test_the_static_binary(processor, tiny_model, tmp_path):
    command = Path(DIST) / f"capp-{processor}"
    assert "There is no dynamic section in this file." in output_of("readelf", "-d", command)
    rows = tmp_path / "rows.txt"
    rows.write_text("one\ntwo\n")
    scored = output_of(*runner(processor), command, "classify", "-q", "-m", tiny_model, "-c", "yes,no", "--precision", "f32", rows)
    mine = output_of(os.environ["CAPP_BUILD"] + "/capp", "classify", "-q", "-m", tiny_model, "-c", "yes,no", "--precision", "f32", rows)
    assert scored == mine and scored.count("\n") >= 2
    served = subprocess.run([*map(str, runner(processor)), command, "serve", "-m", tiny_model], capture_output=True, text=True)
    assert served.returncode != 0 and "cannot be loaded" in served.stderr


PARTS = {"libcapp0": ["usr/lib/{}/libcapp.so.0"], "libcapp-dev": ["usr/include/capp.h", "usr/lib/{}/pkgconfig/capp.pc"],
         "capp": ["usr/bin/capp", "usr/share/man/man1/capp.1.gz", "usr/share/bash-completion/completions/capp"]}


def test_what_debians_packages_hold():
    for name, paths in PARTS.items():
        (package,) = Path(DIST).glob(f"{name}_*.deb")
        listed = output_of("dpkg-deb", "--contents", package)
        for path in paths:
            assert "./" + path.format(f"{platform.machine()}-linux-gnu") in listed, listed


def test_debians_packages_in_a_chroot(tmp_path):
    """Installs them with apt into a new bookworm; the C example compiles there with pkg-config."""
    if os.geteuid() or not shutil.which("mmdebstrap"):
        pytest.skip("needs root and mmdebstrap")
    chroot = tmp_path / "bookworm"
    packages = [next(Path(DIST).glob(f"{name}_*.deb")) for name in PARTS]
    subprocess.run(["mmdebstrap", "--quiet", "--variant=apt", "--include=gcc,libc6-dev,pkgconf", "bookworm", chroot],
                   check=True)
    for package in packages:
        shutil.copy(package, chroot / "tmp")
    shutil.copy(ROOT / "examples" / "classify.c", chroot / "tmp")
    inside = ["chroot", chroot]
    output_of(*inside, "sh", "-c", "apt-get install -y --no-install-recommends /tmp/*.deb")
    assert output_of(*inside, "capp", "--version").startswith("capp ")
    output_of(*inside, "sh", "-c", "cc -std=c17 /tmp/classify.c $(pkg-config --cflags --libs capp) -o /tmp/classify")
    missing = subprocess.run([*map(str, inside), "/tmp/classify", "/none.gguf", "a"], capture_output=True, text=True)
    assert missing.returncode == 2 and "none.gguf" in missing.stderr
