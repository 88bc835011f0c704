"""The examples of CAPPr's documentation run with their imports changed. They come from its docstrings and its README,
which are read from its installation (PEERS, see tests/test_python.py). Where the examples assert, they check
themselves; what they print must have the shape of the comment beside it."""
import ast
import contextlib
import io
import os
import re
import sys
import textwrap
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(os.environ.get("PEERS") or Path.home() / ".cache" / "capp-peers")
MODULES = ("huggingface/classify", "huggingface/classify_no_cache", "llama_cpp/classify", "utils/classify")
# Parts that belong to CAPPr alone, below its functions.
NOT_OURS = ("cappr.huggingface._utils", "cappr.openai")
RENAMED = [(r"from cappr\.(huggingface|llama_cpp|utils)\.classify(_no_cache)? import", "from capp.classify import"),
           (r"from cappr import", "from capp import")]


def blocks_of(text, opening, closing):
    """Blocks of code that follow lines which match the pattern opening, up to the line that matches closing."""
    for found in re.finditer(opening, text, re.M):
        rest = text[found.end():]
        end = re.search(closing, rest, re.M)
        yield textwrap.dedent(rest[:end.start()] if end else rest)


def examples():
    (folder,) = PEERS.glob("venv/lib/python3*/site-packages")
    readme = next(folder.glob("cappr-*.dist-info/METADATA")).read_text(encoding="utf-8")
    found = [("README", code) for code in blocks_of(readme, r"^```python\n", r"^```")]
    for module in MODULES:
        tree = ast.parse((folder / "cappr" / f"{module}.py").read_text(encoding="utf-8"))
        for node in [tree, *(node for node in tree.body if isinstance(node, ast.FunctionDef))]:
            text = ast.get_docstring(node) or ""
            found += [(f"{module}.{getattr(node, 'name', '')}", code) for code in blocks_of(text, r"::\n\n", r"^\S")]
    return [(name, code) for name, code in found if "import" in code and "cappr" in code
            and not any(word in code for word in NOT_OURS)]


def stand_ins(path):
    """Stand-ins for transformers and llama_cpp, as far as the examples use them: every model is the one at path."""
    import capp

    model = capp.Model(path, precision="f32")

    class Llama:
        def __init__(self, model_path, **_keywords):
            self.model_path = path

    def loads(value):
        return type("Auto", (), {"from_pretrained": staticmethod(lambda *_arguments, **_keywords: value)})

    return {"transformers": types.SimpleNamespace(AutoModelForCausalLM=loads(model), AutoTokenizer=loads("tokenizer")),
            "llama_cpp": types.SimpleNamespace(Llama=Llama)}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_examples_with_the_import_changed(smollm2, build, monkeypatch):
    if not list(PEERS.glob("venv/lib/python3*/site-packages/cappr")):
        pytest.skip(f"no CAPPr in {PEERS}")
    monkeypatch.setenv("CAPP_LIBRARY", str(build / "libcapp.so.0"))
    monkeypatch.syspath_prepend(str(ROOT / "python"))
    for name, module in stand_ins(smollm2).items():
        monkeypatch.setitem(sys.modules, name, module)
    found = examples()
    assert len(found) > 20 and {name.split("/")[0] for name, _ in found} == {"README", "huggingface", "llama_cpp"}
    wrong = []
    for name, code in found:
        for pattern, ours in RENAMED:
            code = re.sub(pattern, ours, code)
        assert "cappr." not in code, code
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(code, name, "exec"), {})
        except Exception as error:
            wrong.append(f"{name}: {error!r}\n{code}")
            continue
        if "print(" in code and not printed.getvalue().strip():
            wrong.append(f"{name} prints nothing")
    assert not wrong, "\n".join(wrong)
