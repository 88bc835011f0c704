"""The documentation: the site builds without warnings, its figures count what the library counts, and the commands on
its pages do what the pages say."""
import ast
import doctest
import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# The machine's own precision, and float32: the numbers on the pages hold for both.
ISAS = [None, pytest.param("avx2", marks=pytest.mark.long)]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def site(build, tmp_path_factory):
    """Folder of the built pages."""
    python = subprocess.run([ROOT / "tools" / "venv.sh", DOCS / "requirements.txt"], stdout=subprocess.PIPE, text=True, check=True)
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([python.stdout.strip(), "-m", "sphinx", "-q", "-W", "--keep-going", "-d", folder / "doctrees", DOCS,
                           folder / "html"], env={**os.environ, "CAPP_LIBRARY": str(build / "libcapp.so.0")},
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder / "html"


@pytest.fixture
def place(smollm2, tmp_path):
    """A folder like that of the quick start: the model and its two files of rows."""
    (tmp_path / "smollm2.gguf").symlink_to(smollm2)
    for path in (DOCS / "quickstart").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def ids_of(page):
    return set(re.findall(r'id="([^"]+)"', page.read_text(encoding="utf-8")))


@pytest.mark.timeout(600)  # the first run makes the environment
def test_every_name_of_the_header_is_in_the_reference(site):
    header = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "include").glob("*.h")))
    declared = set(re.findall(r"CAPP_API [\w ]+?[ *](capp_\w+)\(", header)) | set(re.findall(r"^} (capp_\w+);", header, re.M))
    declared |= set(re.findall(r"\(\*(capp_\w+_fn)\)\(", header)) | set(re.findall(r"^    (CAPP_[A-Z]\w+) = ", header, re.M))
    declared |= {f"CAPP_{name}" for name in re.findall(r"^    X\((\w+), \d", header, re.M)}
    found = {name.split(".")[-1] for name in ids_of(site / "c.html") if name.startswith("c.")}
    assert len(declared) > 60 and not declared - found
    text = html.unescape(re.sub(r"<[^>]+>", "", (site / "c.html").read_text(encoding="utf-8")))
    for comment in ("On success the caller owns *model", "times the token's marginal log-probability", "out of memory"):
        assert comment in text


def test_every_public_name_of_python_is_in_the_reference(site):
    found = ids_of(site / "python.html")
    for path in (ROOT / "python" / "capp").glob("*.py"):
        module = "capp" if path.stem in ("__init__", "model") else f"capp.{path.stem}"
        kinds = ast.ClassDef if path.stem == "model" else (ast.FunctionDef, ast.ClassDef)  # its functions are the package's own
        names = {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body
                 if isinstance(node, kinds) and not node.name.startswith("_")}
        if not path.stem.startswith("_"):
            assert not {f"{module}.{name}" for name in names} - found
    assert {"capp.Example", "capp.classify.posterior_prob"} <= found


def test_every_architecture_is_in_the_table(site):
    page = (site / "models.html").read_text(encoding="utf-8")
    listed = (ROOT / "src" / "model" / "arch.h").read_text(encoding="utf-8")
    names = re.findall(r"^    X\((\w+)\)", listed, re.M)
    rows = page[page.index('id="architectures"'):].split("<section")[0].count("<tr") - 1
    assert rows == len(names) > 50
    cells = re.findall(r"<td>(.*?)</td>", page[page.index('id="architectures"'):].split("<section")[0], re.S)
    checked = [re.sub("<.*?>", "", cell).strip() for cell in cells[3::4]]
    assert len(checked) == rows and "-" not in checked
    assert all(f">{name}<" in page for name in ("glm4moe", "glm4_moe", "internlm2", "apertus"))


def test_the_manual_page_is_in_the_site(site):
    page = (site / "command.html").read_text(encoding="utf-8")
    for title in re.findall(r"^\.Sh (.+)$", (DOCS / "capp.1").read_text(encoding="utf-8"), re.M):
        assert f">{title.capitalize()}<" in page
    assert "--only-prediction" in page


# ---- Figures ---------------------------------------------------------------------------------------------------------


def figures():
    sys.path.insert(0, str(DOCS))
    import figures as module

    return module


def test_figures_are_drawn_anew_to_the_same(tmp_path):
    figures().main(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    for path in tmp_path.iterdir():
        assert path.read_text(encoding="utf-8") == (DOCS / path.name).read_text(encoding="utf-8"), "run python3 docs/figures.py"


def test_figures_count_what_the_library_counts(capp, smollm2, tmp_path):
    module = figures()
    texts = ["".join(tokens) for tokens in module.PROMPTS + module.COMPLETIONS]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    cut = subprocess.run([capp, "tokenize", "-m", smollm2, "--no-bos"], input=lines, capture_output=True, check=True).stdout
    ids = [json.loads(line)["ids"] for line in cut.splitlines()]
    pieces = module.PROMPTS + module.COMPLETIONS
    assert [len(row) for row in ids] == [len(row) for row in pieces]
    numbers = {}  # a piece is a token, wherever it is
    for row, tokens in zip(ids, pieces):
        for number, token in zip(row, tokens):
            assert numbers.setdefault(token, number) == number
    assert {token: numbers[token] for token in module.IDS} == module.IDS
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": "".join(prompt), "completions": ["".join(c).strip() for c in module.COMPLETIONS],
                                        "label": 0}) + "\n" for prompt in module.PROMPTS), encoding="utf-8")
    report = json.loads(subprocess.run([capp, "evaluate", "-m", smollm2, "--precision", "f32", "--label", "label", "--json", "-",
                                        rows], capture_output=True, check=True).stdout)
    counted = module.counts()
    assert (report["tokens_computed"], report["head_rows"]) == (counted["rows"], counted["head rows"]) == (17, 4)
    head = (ROOT / "src" / "forward" / "wave.h").read_text(encoding="utf-8")
    assert f"CAPP_HEAD_TILE = {module.TILE} " in head


# ---- Commands for the reader -----------------------------------------------------------------------------------------


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.M | re.S)


def commands(page):
    """(command, output) of each `$ command` of a page."""
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*)(\n)(.*)", part, re.S).groups()
            yield command, output


@pytest.mark.parametrize("isa", ISAS)
def test_the_commands_of_the_quick_start(build, place, isa):
    listed = list(commands("quickstart.md"))
    assert len(listed) == 4
    env = {**os.environ, "PATH": f"{build}:{os.environ['PATH']}", **({"CAPP_ISA": isa} if isa else {})}
    for command, expected in listed:
        done = subprocess.run(["bash", "-c", command], cwd=place, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert doctest.OutputChecker().check_output(expected, done.stdout, FLAGS), f"{command}\n{done.stdout}"


RUN_DOCTESTS = """
import doctest, sys
name, flags = sys.argv[1], int(sys.argv[2])
test = doctest.DocTestParser().get_doctest(sys.stdin.read(), {}, name, name, 0)
result = doctest.DocTestRunner(optionflags=flags).run(test)
print(result.attempted)
sys.exit(result.failed > 0)
"""


def run_python(code, place, build, isa, *arguments, stdin=""):
    env = {**os.environ, "CAPP_LIBRARY": str(build / "libcapp.so.0"), "PYTHONPATH": str(ROOT / "python"),
           **({"CAPP_ISA": isa} if isa else {})}
    done = subprocess.run([sys.executable, "-c", code, *arguments], input=stdin, cwd=place, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("isa", ISAS)
def test_the_python_of_the_quick_start(build, place, isa):
    code = "\n".join(blocks("quickstart.md", "python"))
    assert code.count(">>>") > 10
    assert int(run_python(RUN_DOCTESTS, place, build, isa, "quickstart.md", str(FLAGS), stdin=code)) == code.count(">>>")


def test_the_right_column_of_coming_from_cappr(build, place):
    """The second program of each row, except the one that needs a server; tests/test_remote.py covers that one."""
    columns = blocks("from-cappr.md", "python")
    here = [code for code in columns[1::2] if "capp.remote" not in code]
    assert len(columns) == 12 and len(here) == 5
    assert all("cappr" not in code for code in here)
    shown = run_python("\n".join(here) + "\nprint(predict(prompts, ['cooking', 'sports'], model))", place, build, None)
    assert shown.strip() == "['cooking', 'sports']"


def test_the_command_of_the_readme(build, place):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows, command, expected = re.search(r"^    \$ cat questions.csv\n(.*?)\n    \$ (capp .*?)\n(.*?)\n\n\S", readme, re.M | re.S).groups()
    (place / "questions.csv").write_text("".join(line.strip() + "\n" for line in rows.splitlines() if line), encoding="utf-8")
    done = subprocess.run(["bash", "-c", command], cwd=place, env={**os.environ, "PATH": f"{build}:{os.environ['PATH']}"},
                          capture_output=True, text=True)
    assert doctest.OutputChecker().check_output(expected, done.stdout, FLAGS), done.stdout + done.stderr


def test_the_c_of_the_readme_compiles(tmp_path):
    (code,) = re.findall(r"^```c\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    source = tmp_path / "a.c"
    source.write_text(f"#include <capp.h>\n#include <stdio.h>\nint main(void) {{\n{code}return 0;\n}}\n", encoding="utf-8")
    subprocess.run([os.environ.get("CC", "cc"), "-std=c17", "-Wall", "-Werror", f"-I{ROOT / 'include'}", "-fsyntax-only", source],
                   check=True)


# ---- Links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["README.md", "DEVELOPERS.md", "examples/README.md"])
def test_links_of_pages_outside_of_the_site(page):
    path = ROOT / page
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []
