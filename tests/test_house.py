"""The code rules (docs/design.md) that a text search can check."""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The rooms of src/ that each room may include and call, from the ground up. src/capp.c is above all of them.
MAY_USE = {
    "base": set(),
    "file": {"base"}, "plan": {"base"}, "kernel": {"base"}, "decide": {"base"}, "calibrate": {"base"}, "measure": {"base"}, "jinja": {"base"},
    "token": {"base", "file"},
    "model": {"base", "file", "kernel"},
    "forward": {"base", "file", "kernel", "plan", "model"},
    "engine": {"base", "file", "kernel", "plan", "token", "model", "forward"},
    "chat": {"base", "file", "token", "jinja", "engine"},
    "prompt": {"base", "file", "token", "engine", "chat"},
    "score": {"base", "plan", "decide", "token", "engine", "prompt"},
    "race": {"base", "plan", "decide", "token", "engine", "prompt"},
    "generate": {"base", "plan", "token", "engine", "prompt"},
    "queue": {"base", "plan", "decide", "token", "engine", "prompt", "score"},
    "inspect": {"base", "file", "token", "model", "chat"},
}  # fmt: skip

# Other rooms see a room through the header with the room's name. These rooms have other headers, or several; in base
# all headers are public to the other rooms.
FACES = {
    "file": "gguf guard map names source",
    "kernel": "dequant integers kernel peak plain quant quant_blocks",
    "model": "adapter binder model", "plan": "plan tree", "token": "vocab",
}  # fmt: skip


# The headers of include/: the whole public API.
PUBLIC = ("capp.h", "capp_arrays.h", "capp_forecast.h", "capp_queue.h")


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
    """C code with comments removed and strings emptied; line numbers stay the same."""
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
    """The headers of this project that the file includes: all quoted names, and names in <> that src/ has."""
    found = re.findall(r'^\s*#\s*include\s*(["<])([^">]+)[">]', path.read_text(), re.M)
    return [header for mark, header in found if mark == '"' or ".." in header or (ROOT / "src" / header).exists()]


def room_of(path):
    """The room of a file of src/; "" for a file at its root."""
    return path.parts[1] if len(path.parts) > 2 else ""


def may_use(user, used):
    """Whether a file of src/ may include or call another (paths from the root of the project)."""
    mine, other = room_of(user), room_of(used)
    return not mine or mine == other or other in MAY_USE.get(mine, set())


def is_face(header):
    """Whether other rooms may include this header of src/."""
    return room_of(header) == "base" or header.stem in FACES.get(room_of(header), room_of(header)).split()


def wrong_arrows(path, includes):
    """Those of these includes that path may not have."""
    path = path.relative_to(ROOT)
    if path.parts[0] in ("cli", "server", "examples"):
        own = [include for include in includes if ".." not in include and (ROOT / path.parent / include).exists()]
        allowed = [*PUBLIC, *own, *(["server.h"] if str(path) == "cli/serve.c" else [])]  # the one door between the two
        return [include for include in includes if include not in allowed]
    if path.parts[0] != "src":  # tests may include everything
        return []
    headers = {include: Path("src", include) for include in includes if include not in PUBLIC}
    return [include for include, header in headers.items()
            if not may_use(path, header) or (room_of(path) != room_of(header) and not is_face(header))]


def definitions(text, prefix="capp_"):
    """The external functions and tables that the code of a .c file defines, whose names begin with prefix."""
    functions = rf"^(?!static\b|return\b|#)[A-Za-z_][\w \t*]*?\b({prefix}\w+)\([^;{{]*?\)\s*\{{"
    tables = rf"^(?!static\b|extern\b|typedef\b)[A-Za-z_][\w \t*]*?\b({prefix}\w+)(?:\[\w*\])?\s*="
    return set(re.findall(functions, text, re.M | re.S)) | set(re.findall(tables, text, re.M))


def arrows_between(texts, prefix="capp_"):
    """Of {path from the root: its code}: {file: the files that it includes, or whose functions and tables it names}."""
    home = {symbol: path for path, text in texts.items() if path.suffix == ".c" for symbol in definitions(text, prefix)}
    arrows = {}
    for path, text in texts.items():
        words = set(re.findall(rf"(?<![\w.>])({prefix}\w+)", text)) & set(home) if path.suffix != ".h" else set()
        included = {header for include in includes_of(ROOT / path) for header in (Path("src", include), path.parent / include)
                    if header in texts} if (ROOT / path).exists() else set()
        arrows[path] = ({home[word] for word in words} | included) - {path}
    return arrows


def circles(arrows):
    """Sets of files in which a path leads from each file to each other one. A source and its header count as one
    file."""
    ways = {}
    for path, others in arrows.items():
        here = ways.setdefault(path.with_suffix(""), set())
        here |= {other.with_suffix("") for other in others} - {path.with_suffix("")}
    reached = {}
    for start in ways:
        seen, todo = set(), [start]
        while todo:
            for other in ways.get(todo.pop(), set()) - seen:
                seen.add(other)
                todo.append(other)
        reached[start] = seen
    return sorted({tuple(sorted(str(b) for b in reached[a] if a in reached.get(b, set()))) for a in ways if a in reached[a]})


TEXTS = {path.relative_to(ROOT): without_comments(path.read_text()) for path in SOURCES}
COMMAND, SERVER = ({path.relative_to(ROOT): without_comments(path.read_text()) for path in files_of(f"{name}/*.c", f"{name}/*.h")}
                   for name in ("cli", "server"))


def test_includes_run_one_way():
    assert SOURCES
    assert [(name(path), wrong) for path in C_FILES if (wrong := wrong_arrows(path, includes_of(path)))] == []


def test_calls_run_one_way():
    arrows = arrows_between(TEXTS)
    assert sum(map(len, arrows.values())) > 500
    assert [f"{user} uses {used}" for user in arrows for used in arrows[user] if not may_use(user, used)] == []


def private_calls(text):
    """The functions and tables of src/ that this code of a program names and include/capp.h does not declare."""
    private = {symbol for path, code in TEXTS.items() if path.suffix == ".c" for symbol in definitions(code)}
    public = without_comments("".join((ROOT / "include" / header).read_text() for header in PUBLIC))
    return (private - set(re.findall(r"\bcapp_\w+", public))) & set(re.findall(r"\bcapp_\w+", text))


def test_programs_call_only_public_functions():
    programs = files_of("cli/*.[ch]", "server/*.[ch]", "examples/*.[ch]")
    assert [(name(path), wrong) for path in programs if (wrong := private_calls(without_comments(path.read_text())))] == []
    assert private_calls("int main(void) {\n    capp_score();\n    capp_score_rows();\n}\n") == {"capp_score_rows"}


def test_no_files_stand_in_a_circle():
    assert circles(arrows_between(TEXTS)) == []
    for program, least in ((COMMAND, 100), (SERVER, 20)):
        arrows = arrows_between(program, "")
        assert sum(map(len, arrows.values())) > least
        assert circles(arrows) == []


def test_a_wrong_arrow_is_found():
    """The rule itself works: it must refuse each of these."""
    for path, include in [("src/base/mem.c", "file/gguf.h"), ("src/kernel/ref.c", "model/model.h"),
                          ("src/plan/plan.c", "kernel/kernel.h"), ("src/token/vocab.c", "model/model.h"),
                          ("src/model/weights.c", "engine/engine.h"), ("src/prompt/row.c", "score/score.h"),
                          ("src/score/fill.c", "engine/handles.h"), ("src/capp.c", "score/window.h"),
                          ("src/engine/run.c", "forward/wave.h"), ("src/score/score.c", "race/race.h"),
                          ("cli/main.c", "base/mem.h"), ("cli/main.c", "../src/base/mem.h"),
                          ("src/newroom/a.c", "base/mem.h")]:
        assert wrong_arrows(ROOT / path, [include]) == [include], path


def test_every_kind_of_include_is_seen(tmp_path):
    (tmp_path / "a.c").write_text('#include <base/mem.h>\n# include "b.h"\n#include <string.h>\n#include"../c.h"\n')
    assert includes_of(tmp_path / "a.c") == ["base/mem.h", "b.h", "../c.h"]


def test_a_wrong_call_and_a_circle_are_found():
    """The same for calls, which need no include: it refuses calls to upper rooms and cycles of calls."""
    def house(**files):
        return arrows_between({Path("src", *path.split("__")).with_suffix(".c"): text for path, text in files.items()})

    up = house(plan__made_up="void capp_low(void) {\n    capp_high();\n}\n",
               score__made_up="capp_status\ncapp_unrelated(int a);\nvoid capp_high(void) {\n}\n")
    assert up == {Path("src/plan/made_up.c"): {Path("src/score/made_up.c")}, Path("src/score/made_up.c"): set()}
    assert not may_use(Path("src/plan/made_up.c"), Path("src/score/made_up.c"))
    assert not may_use(Path("src/score/made_up.c"), Path("src/capp.c"))
    assert may_use(Path("src/score/made_up.c"), Path("src/plan/made_up.c"))
    assert circles(up) == []
    three = house(plan__a="int capp_a(const char *x,\n           int y) {\n    return capp_b(x);\n}\n",
                  plan__b="int capp_b(void) {\n    return capp_c;\n}\n",
                  plan__c="const int capp_c = 3;\nvoid *capp_d(void) {\n    return capp_a;\n}\n",
                  plan__d="void capp_e(void) {\n    capp_a();\n}\n")
    assert circles(three) == [("src/plan/a", "src/plan/b", "src/plan/c")]
    command = {Path("cli/made_up_a.c"): "int first(void) {\n    return second(1);\n}\n",
               Path("cli/made_up_b.c"): "int second(int x) {\n    return x ? x : first();\n}\n"}
    assert circles(arrows_between(command, "")) == [("cli/made_up_a", "cli/made_up_b")]


def test_rooms_are_in_the_list_and_stand_on_one_another():
    rooms = {room_of(path.relative_to(ROOT)) for path in SOURCES} - {""}
    assert rooms == set(MAY_USE) and set(FACES) <= rooms
    assert {room: later for n, room in enumerate(MAY_USE) if (later := MAY_USE[room] - set(list(MAY_USE)[:n]))} == {}


def test_no_permission_is_idle():
    used = {room: set() for room in MAY_USE}
    for user, others in arrows_between(TEXTS).items():
        if room_of(user):
            used[room_of(user)] |= {room_of(other) for other in others} - {room_of(user)}
    assert {room: idle for room in MAY_USE if (idle := MAY_USE[room] - used[room])} == {}
    outside = {(room_of(header), header.stem) for path in SOURCES for include in includes_of(path)
               if room_of(header := Path("src", include)) != room_of(path.relative_to(ROOT))}
    assert {f"{room}/{stem}.h" for room in FACES for stem in FACES[room].split() if (room, stem) not in outside} == set()


def test_nothing_lies_loose():
    """The root of src/ has only the public functions that choose among rooms."""
    assert [name(path) for path in SOURCES if len(path.relative_to(ROOT).parts) == 2] == ["src/capp.c"]


def test_the_library_never_prints_or_ends_the_process():
    calls = r"\b(?:v?f?printf|puts|fputs|putchar|fputc|perror|_?exit|_Exit|quick_exit|abort|assert|raise)\s*\(|\bstd(?:out|err)\b"
    assert found_in(SOURCES, calls) == []


def test_every_allocation_can_be_made_to_fail():
    calls = r"\b(?:malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|strdup|strndup|asprintf|free)\s*\("
    assert found_in(SOURCES, calls, allowed=["src/base/mem.c"]) == []


C17 = "ctype errno float inttypes limits locale math stdarg stdatomic stdbool stddef stdint stdio stdlib string time".split()
POSIX = "dirent fcntl pthread signal sys/mman sys/stat sys/types unistd".split()
LIBRARIES = ["pcre2", "utf8proc"]
VECTORS = ["arm_neon", "immintrin"]


# What all kinds of Unix have; the command uses it, too.
UNIX = "dlfcn getopt poll strings sys/file sys/ioctl sys/statvfs termios assert".split()
COMMAND_LIBRARIES = ["csv", "curl/curl", "openssl/evp", "sqlite3", "utf8proc", "xxhash", "zlib", "zstd"]
ONE_SYSTEM = r"_(?:GNU|DEFAULT|BSD|DARWIN_C)_SOURCE|__linux__|\bsyscall\b|\w+_np\b|\bposix_fadvise\b|\bPAGE = 4096|/proc/|/sys/"


def beyond_posix(path, text):
    """What this file of src/ or cli/ uses of one system or processor."""
    room = path.parts[1]
    more = UNIX + COMMAND_LIBRARIES if path.parts[0] == "cli" else LIBRARIES + (VECTORS if room == "kernel" else [])
    known = {f"{header}.h" for header in C17 + POSIX + more}
    found = {header for header in re.findall(r"^\s*#\s*include\s*<([^>]+)>", text, re.M) if not (ROOT / "src" / header).exists()}
    return sorted(found - known) + re.findall(ONE_SYSTEM if room == "kernel" else ONE_SYSTEM + r"|__asm__", text)


def test_only_the_platforms_files_know_the_system():
    """All others include headers of C17 and POSIX alone (in cli/ also those of all kinds of Unix), and ask the headers for POSIX
    alone, so that the compiler rejects calls of one system."""
    sources = {path.relative_to(ROOT): path.read_text() for path in [*SOURCES, *files_of("cli/*.[ch]")]}
    platform = {path for path in sources if str(path.parent) in ("src/base", "cli") and path.name.startswith("platform")}
    assert {str(path): wrong for path, text in sources.items() if path not in platform and (wrong := beyond_posix(path, text))} == {}
    assert all(beyond_posix(path, sources[path]) for path in platform if path.suffix == ".c")
    assert beyond_posix(Path("src/file/map.c"), "#define _GNU_SOURCE\n#include <sys/sysinfo.h>\n#include <stdio.h>\n") == [
        "sys/sysinfo.h", "_GNU_SOURCE"]
    assert beyond_posix(Path("src/base/pool.c"), "#include <immintrin.h>\nopen(\"/proc/self\")\n") == ["immintrin.h", "/proc/"]
    assert beyond_posix(Path("cli/run.c"), "#include <poll.h>\n#include <sys/inotify.h>\nposix_fadvise(file)\n") == [
        "sys/inotify.h", "posix_fadvise"]


def test_every_source_is_built():
    """meson.build lists files; a file missing there would be neither compiled nor checked."""
    listed = (ROOT / "meson.build").read_text() + (ROOT / "tests" / "meson.build").read_text()
    flags = "".join(re.findall(r"kernel_flags_\w+ = \{(.*?)\}", listed, re.S))
    alone = {f"src/kernel/{isa}.c" for isa in re.findall(r"'(\w+)':", flags)}
    for path in C_FILES:
        own = path.stem if path.parent == ROOT / "tests" else name(path)
        if path.suffix == ".c" and name(path) not in alone:
            assert re.search(rf"'{re.escape(own)}(\.c)?'", listed), f"{name(path)} is in no meson.build"


def test_no_flag_ties_a_build_to_its_machine_or_changes_arithmetic():
    built_by = files_of("meson.build", "*/meson.build", "Makefile", "*.sh") + C_FILES
    wrong = re.compile(r"-m(?:arch|tune|cpu)=(?!armv8\.2-a\+|generic\+)|-Ofast|-ffast-math|-funsafe-math|-fassociative|-ffp-contract=(?!off)")
    assert [name(path) for path in built_by if wrong.search(path.read_text())] == []
    # Extensions of AArch64, as flags of the kernels of one instruction set and nowhere else.
    text = (ROOT / "meson.build").read_text()
    kernels = re.search(r"^kernel_flags_aarch64 = \{.*?^\}", text, re.M | re.S)[0]
    extensions = re.findall(r"^(\w+) = cc\.first_supported_argument\('-march=.*\)$", text, re.M)
    assert len(extensions) == len(re.findall("-march=|-mcpu=", text)) // 2
    for each in extensions:
        assert len(re.findall(rf"\b{each}\b", text)) == 1 + len(re.findall(rf"\b{each}\b", kernels)) > 1


def test_sizes():
    """Files have at most 600 lines, lines at most 120 columns."""
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
