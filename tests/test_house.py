"""The rules of the house (docs/design.md) that a text search can hold."""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Which rooms of src/ a room may include, from the ground up. src/capp.c stands above all of them.
MAY_INCLUDE = {
    "base": set(),
    "file": {"base"}, "plan": {"base"}, "kernel": {"base"}, "decide": {"base"},
    "token": {"base", "file"}, "model": {"base", "file", "kernel"},
    "forward": {"base", "kernel", "plan", "model"},
    "engine": {"base", "file", "kernel", "plan", "token", "model", "forward"},
    "jinja": {"base"},
    "chat": {"base", "file", "token", "jinja", "engine"},
    "prompt": {"base", "token", "engine", "chat"},
    "score": {"base", "plan", "decide", "engine", "prompt"}, "race": {"base", "plan", "decide", "engine", "prompt"},
    "generate": {"base", "plan", "token", "engine", "prompt", "chat"},
    "inspect": {"base", "file", "token", "model", "engine", "chat"},
}  # fmt: skip


def files_of(*patterns):
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z", *patterns], cwd=ROOT,
                            capture_output=True, text=True) if (ROOT / ".git").exists() else None
    if listed and listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        found = [path for pattern in patterns for path in ROOT.rglob(pattern)
                 if not path.relative_to(ROOT).parts[0].startswith(("build", ".git"))]
    return sorted(path for path in found if path.is_file())


C_FILES = files_of("*.c", "*.h", "*.inc")
SOURCES = [path for path in C_FILES if path.is_relative_to(ROOT / "src")]


def name(path):
    return str(path.relative_to(ROOT))


def without_comments(text):
    """C code with comments gone and strings emptied; lines stay where they are."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''

    def blank(match):
        return '""' if match[0][0] in "\"'" else "\n" * match[0].count("\n")

    return re.sub(pattern, blank, text, flags=re.S)


def found_in(paths, pattern, allowed=()):
    """file:line of each match of pattern in code."""
    return [f"{name(path)}:{number}: {line.strip()}"
            for path in paths if name(path) not in allowed
            for number, line in enumerate(without_comments(path.read_text()).splitlines(), 1)
            if re.search(pattern, line)]


def includes_of(path):
    """What the file includes by a quoted name."""
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M)


def wrong_arrows(path, includes):
    """The includes among these that path may not have."""
    parts = path.relative_to(ROOT).parts
    if parts[0] in ("cli", "server", "examples"):
        return [include for include in includes if include != "capp.h" and not (path.parent / include).exists()]
    if parts[0] != "src" or len(parts) == 2:  # tests see everything, and so do the public functions in src/capp.c
        return []
    room = parts[1]
    return [include for include in includes if include != "capp.h" and include.split("/")[0] != room
            and include.split("/")[0] not in MAY_INCLUDE.get(room, set())]


def test_includes_run_one_way():
    assert SOURCES
    assert [(name(path), wrong) for path in C_FILES if (wrong := wrong_arrows(path, includes_of(path)))] == []


def test_a_wrong_arrow_is_found():
    """The rule itself works: each of these must be refused."""
    for path, include in [("src/base/mem.c", "file/gguf.h"), ("src/kernel/ref.c", "model/model.h"),
                          ("src/plan/plan.c", "kernel/kernel.h"), ("src/token/vocab.c", "model/model.h"),
                          ("src/model/weights.c", "engine/engine.h"),
                          ("src/prompt/prompt.c", "score/score.h"), ("cli/main.c", "base/mem.h"),
                          ("src/newroom/a.c", "base/mem.h")]:
        assert wrong_arrows(ROOT / path, [include]) == [include], path


def test_every_room_is_in_the_list():
    rooms = {path.relative_to(ROOT).parts[1] for path in SOURCES if len(path.relative_to(ROOT).parts) > 2}
    assert rooms <= set(MAY_INCLUDE)


def test_the_library_never_prints_or_ends_the_process():
    calls = r"\b(?:v?f?printf|puts|fputs|putchar|fputc|perror|_?exit|_Exit|quick_exit|abort|assert|raise)\s*\(|\bstd(?:out|err)\b"
    assert found_in(SOURCES, calls) == []


def test_every_allocation_can_be_made_to_fail():
    calls = r"\b(?:malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|strdup|strndup|asprintf|free)\s*\("
    assert found_in(SOURCES, calls, allowed=["src/base/mem.c"]) == []


def test_every_source_is_built():
    """meson.build lists files; one that is forgotten would neither be compiled nor checked."""
    listed = (ROOT / "meson.build").read_text() + (ROOT / "tests" / "meson.build").read_text()
    flags = re.search(r"kernel_flags = \{(.*?)\}", listed, re.S)[1]
    alone = {f"src/kernel/{isa}.c" for isa in re.findall(r"'(\w+)':", flags)}
    for path in C_FILES:
        own = path.stem if path.parent == ROOT / "tests" else name(path)
        if path.suffix == ".c" and name(path) not in alone:
            assert re.search(rf"'{re.escape(own)}(\.c)?'", listed), f"{name(path)} is in no meson.build"


def test_no_flag_ties_a_build_to_its_machine_or_changes_arithmetic():
    built_by = files_of("meson.build", "*/meson.build", "Makefile", "*.sh") + C_FILES
    wrong = re.compile(r"-m(?:arch|tune|cpu)=|-Ofast|-ffast-math|-funsafe-math|-fassociative|-ffp-contract=(?!off)")
    assert [name(path) for path in built_by if wrong.search(path.read_text())] == []


def test_sizes():
    """Files of at most 600 lines, lines of at most 120 columns."""
    long_files = [name(path) for path in C_FILES if len(path.read_text().splitlines()) > 600]
    long_lines = [f"{name(path)}:{i}" for path in C_FILES for i, line in enumerate(path.read_text().splitlines(), 1)
                  if len(line) > 120]
    assert (long_files, long_lines) == ([], [])


def test_nothing_is_left_to_do_and_no_machine_is_named():
    texts = C_FILES + files_of("*.py", "*.sh", "*.md", "*.build", "Makefile")
    wrong = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b|/(?:ro" r"ot|wo" r"rk|ho" r"me)/\w")
    assert [f"{name(path)}:{i}: {line.strip()}" for path in texts
            for i, line in enumerate(path.read_text().splitlines(), 1) if wrong.search(line)] == []


def test_formatted():
    if not shutil.which("clang-format"):
        pytest.skip("no clang-format")
    version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True).stdout
    if " 14." not in version:
        pytest.skip(f"the house is formatted by clang-format 14; this is {version.strip()}")
    done = subprocess.run(["clang-format", "--dry-run", "--Werror", *map(str, C_FILES)], capture_output=True, text=True)
    wrong = sorted({Path(line.split(":")[0]).relative_to(ROOT) for line in done.stderr.splitlines() if ": error:" in line})
    assert done.returncode == 0, f"run make format: {', '.join(map(str, wrong))}"
