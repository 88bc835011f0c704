"""The Python package: examples, chats, doctests, the structures of the header, the wheel."""
import doctest
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_python import library, package_env, tiny  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent


# ---- Examples --------------------------------------------------------------------------------------------------------


def test_examples_are_compared_and_hashed(library):
    import copy
    import pickle

    from capp import Example

    made = [Example("p", ["a", "b"], prior=prior) for prior in ([0.25, 0.75], (0.25, 0.75), np.array([0.25, 0.75]))]
    assert made[0] == made[1] == made[2] and len(set(made)) == 1
    for same in (copy.copy(made[0]), copy.deepcopy(made[0]), pickle.loads(pickle.dumps(made[0]))):
        assert same == made[0] and hash(same) == hash(made[0])
    others = [Example("q", ["a", "b"], [0.25, 0.75]), Example("p", ["a", "c"], [0.25, 0.75]), Example("p", ["a", "b"]),
              Example("p", ["a", "b"], [0.75, 0.25]), Example("p", ["a", "b"], [0.25, 0.75], ""),
              Example("p", ["a", "b"], [0.25, 0.75], normalize=False)]
    assert len({made[0], *others}) == 7 and all(made[0] != other for other in others)
    assert made[0] != ("p", ("a", "b")) and made[0] is not None


def test_an_examples_prior_is_an_array_of_its_own(library):
    """An array, like CAPPr's, that nobody may change."""
    from capp import Example

    given = np.array([0.25, 0.75])
    example = Example("p", ["a", "b"], given)
    given[0] = 1
    assert example.prior.tolist() == [0.25, 0.75] and example.prior.sum() == 1
    with pytest.raises(ValueError, match="read-only"):
        example.prior[0] = 1


@pytest.mark.parametrize("completions, kind, part", [
    ("ab", TypeError, "one string"), ([], ValueError, "empty"), ((), ValueError, "empty"), ("", ValueError, "empty"),
    (None, TypeError, "sequence"), (5, TypeError, "int"), ({"a", "b"}, TypeError, "order"),
    ((c for c in "ab"), TypeError, "generator"), (["a", 1], TypeError, r"completions\[1\].*int"),
    ([b"a", b"b"], TypeError, r"completions\[0\].*bytes"), (["a", ""], ValueError, r"\[1\]"),
    (["a", None], ValueError, r"\[1\]"), (["", ""], ValueError, "all"), (["a", ["b"]], TypeError, "list"),
    (np.array([["a", "b"], ["c", "d"]]), TypeError, "dimension"), (np.array("ab"), TypeError, "sequence"),
    (["a", float("nan")], TypeError, "float"), (["a", np.array([1, 2])], TypeError, "ndarray"),
])  # fmt: skip
def test_wrong_completions_are_told_at_once(tiny, completions, kind, part):
    """The errors have the types of CAPPr's. CAPPr detects completions that are not texts only when it scores: TypeError
    too."""
    from capp import Example
    from capp.classify import log_probs_conditional, predict, predict_proba

    with pytest.raises(kind, match=part):
        Example("p", completions, normalize=False)
    if isinstance(completions, type(c for c in "")):
        return
    for function in (log_probs_conditional, predict, predict_proba):
        with pytest.raises(kind, match=part):
            function("p", completions, tiny)


# ---- Chats -----------------------------------------------------------------------------------------------------------


TURNS = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"


def test_a_chat_keeps_its_date(tiny, monkeypatch):
    """A chat keeps its date wherever it is sent: two processes that score parts of one table must ask the same."""
    import copy
    import pickle

    monkeypatch.setattr(time, "time", lambda: 365.5 * 86400)
    chat = tiny.chat(template="{{ strftime_now('%Y-%m-%d') }}" + TURNS, x={"a": [1]})
    monkeypatch.undo()
    assert chat.render("the") == "1971-01-01user: the "
    assert pickle.loads(pickle.dumps(chat)).render("the") == copy.deepcopy(chat).render("the") == chat.render("the")


def test_a_chat_is_not_changed_from_outside(tiny):
    import pickle

    turn, values = {"role": "user", "content": "a"}, {"x": 1}
    messages, items = [turn], [values]
    chat = tiny.chat(template=TURNS + "{{ items[0].x }}", messages=messages, items=items)
    before = chat.render("b")
    turn["content"], values["x"] = "c", 2
    messages.append(turn)
    assert before == "user: a user: b 1" and chat.render("b") == pickle.loads(pickle.dumps(chat)).render("b") == before


@pytest.mark.parametrize("keywords, kind, part", [
    ({"system": 3}, TypeError, "system must be a string, not int"), ({"system": b"x"}, TypeError, "system.*bytes"),
    ({"template": 3}, TypeError, "template must be a string"), ({"template_name": 3}, TypeError, "template_name.*int"),
    ({"template_name": "default\0x"}, ValueError, "template_name must not contain NUL"),
    ({"messages": "hello"}, TypeError, "messages must be a sequence of m"),
    ({"messages": 3}, TypeError, "messages must be a sequence of m"),
    ({"messages": {"role": "user", "content": "x"}}, TypeError, "messages must be a sequence of m.*dict"),
    ({"messages": ["hello"]}, TypeError, r"messages\[0\].*str"),
    ({"messages": [{"role": "user"}]}, ValueError, r"messages\[0\] must have exactly the keys 'role' and 'content'"),
    ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, ValueError, "'name'"),
    ({"messages": [{"role": "user", "content": None}]}, TypeError, r"the content of messages\[0\].*NoneType"),
    ({"messages": [{"role": 3, "content": "x"}]}, TypeError, r"the role of messages\[0\].*int"),
    ({"messages": [{"role": "a b", "content": "x"}]}, ValueError, "letters, digits"),
    ({"system": "\ud800"}, ValueError, "surrogate"), ({"x": {1, 2}}, TypeError, "variables.*set"),
    ({"x": float("nan")}, ValueError, "variables"), ({"messages": [], "bos_token": "x"}, ValueError, "bos_token"),
])  # fmt: skip
def test_wrong_arguments_of_a_chat(tiny, keywords, kind, part):
    with pytest.raises(kind, match=part):
        tiny.chat(**{"template": TURNS, **keywords})
    if "messages" in keywords and "bos_token" not in keywords:
        chat = tiny.chat(template=TURNS)
        for function in (chat.render, chat.tokenize):
            if keywords["messages"] != "hello":
                with pytest.raises(kind, match=part.replace("messages", "turns")):
                    function(keywords["messages"])


def test_names_with_nul_and_numbers_of_wrong_kinds(tiny, tiny_model):
    """C would read the name only up to its NUL, and open another file."""
    import capp

    for arguments, keywords, kind, part in [
            ((tiny_model + "\0x",), {}, ValueError, "NUL"), ((tiny_model,), {"lora": "a\0b"}, ValueError, "NUL"),
            ((tiny_model,), {"isa": "ref\0x"}, ValueError, "NUL"), ((tiny_model,), {"isa": 3}, TypeError, "isa"),
            ((3,), {}, TypeError, "int"), ((None,), {}, TypeError, "NoneType"),
            ((tiny_model,), {"threads": 1.5}, TypeError, "threads.*float"),
            ((tiny_model,), {"memory": "1G"}, TypeError, "memory.*str"), ((tiny_model,), {"lora": 3}, TypeError, "lora"),
            ((tiny_model,), {"lora": {"a": "x"}}, TypeError, "weight"),
            ((tiny_model,), {"lora": [("a", 1, 2)]}, ValueError, "lora")]:
        with pytest.raises(kind, match=part):
            capp.Model(*arguments, **keywords)
    for ids, kind in (([1.5], TypeError), ("12", TypeError), (["1"], TypeError), ([[1]], TypeError), (3, TypeError),
                      ([-1], ValueError), ([2**31], ValueError), ([2**40], ValueError), ([10**9], ValueError)):
        with pytest.raises(kind):
            tiny.detokenize(ids)
    assert tiny.detokenize([]) == "" and tiny.detokenize(np.array(tiny.tokenize("the cat"), np.uint16)) == "the cat"
    for arguments, kind, part in (((3,), TypeError, "prompts"), (([],), ValueError, "prompts"),
                                  ((["a", 3],), TypeError, r"prompts\[1\]"), (("a", "3"), TypeError, "max_tokens"),
                                  ((b"a",), TypeError, "bytes|string")):
        with pytest.raises(kind, match=part):
            tiny.generate(*arguments)
    with pytest.raises(TypeError, match="string"):
        tiny.generate("a", stop=[3])
    with pytest.raises(TypeError, match="string"):
        tiny.tokenize(3)


def test_a_cached_model_does_not_forget_its_prefix(tiny):
    from capp.classify import cache_model

    cached = cache_model(tiny, "the cat")
    with pytest.raises(TypeError, match="a cached model cannot generate"):
        cached.generate("sat")
    with pytest.raises(TypeError, match="a chat cannot have a prefix"):
        cached.chat(template=TURNS)
    assert cached.tokenize("sat") == tiny.tokenize("sat") and cache_model(tiny, prefix="the cat")


# ---- Documentation, import -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["capp", "capp._aggregate", "capp._example", "capp.classify", "capp.model",
                                    "capp.arrays", "capp.remote", "capp.sklearn"])
def test_examples_in_docstrings(tiny, module):
    found = doctest.testmod(__import__(module, fromlist=["*"]), extraglobs={"model": tiny, "model_path": tiny.path},
                            optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted and not found.failed


def test_the_structures_are_the_headers(build, tmp_path):
    """The sizes of the structures in ctypes equal those of the compiler."""
    import ctypes

    from capp import _abi

    names = {"capp_str": _abi.Str, "capp_error": _abi.Error, "capp_lora": _abi.Lora, "capp_model_options": _abi.ModelOptions,
             "capp_model_info": _abi.ModelInfo, "capp_stats": _abi.Stats, "capp_result": _abi.Result,
             "capp_text_result": _abi.TextResult, "capp_generation": _abi.Generation, "capp_scoring": _abi.Scoring,
             "capp_run_options": _abi.RunOptions, "capp_generate_options": _abi.GenerateOptions,
             "capp_logprobs": _abi.Logprobs, "capp_decided": _abi.Decided, "capp_metrics": _abi.Metrics, "capp_work": _abi.Work}
    lines = [f'printf("%zu ", sizeof({name}));' for name in names]
    lines += [f'printf("%zu ", offsetof({name}, {field}));' for name, kind in names.items() for field, _ in kind._fields_]
    (tmp_path / "sizes.c").write_text(f'#include <stdio.h>\n#include "capp_arrays.h"\n#include "capp_forecast.h"\nint main(void) {{ {" ".join(lines)} '
                                      'printf("%zu\\n", sizeof(capp_example)); }\n')
    subprocess.run([os.environ.get("CC", "cc"), "-I", ROOT / "include", "-o", tmp_path / "sizes", tmp_path / "sizes.c"],
                   check=True)
    said = [int(n) for n in subprocess.run([tmp_path / "sizes"], capture_output=True, text=True).stdout.split()]
    mine = [ctypes.sizeof(kind) for kind in names.values()]
    mine += [getattr(kind, field).offset for kind in names.values() for field, _ in kind._fields_]
    assert [*mine, _abi.EXAMPLE.itemsize] == said


def import_seconds(env):
    code = "import time, numpy; start = time.process_time(); import capp.classify; print(time.process_time() - start)"
    return float(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout)


def test_import_is_light(tmp_path):
    env = {**package_env(), "PYTHONPYCACHEPREFIX": str(tmp_path)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    import_seconds(env)  # compiles the modules, as pip does when it installs them
    assert any(import_seconds(env) < 0.1 for _ in range(10))  # a busy machine needs more time in some of them
    loaded = subprocess.run([sys.executable, "-c", "import capp.classify, sys; print(*sys.modules)"], env=package_env(),
                            capture_output=True, text=True, check=True).stdout.split()
    assert not {"tqdm", "pandas", "torch", "sklearn", "openai", "hashlib", "tempfile"} & set(loaded)


# ---- The wheel -------------------------------------------------------------------------------------------------------

USE = """
import sys
import capp
from capp.classify import predict
assert "site-packages" in capp.__file__, capp.__file__
print(capp.__version__, predict("the cat", ["sat", "ran"], sys.argv[1]) in ("sat", "ran"))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """What pip makes of the checkout, for this machine."""
    folder = tmp_path_factory.mktemp("dist")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # meson-python
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation",
                    "-w", folder, ROOT], env={**os.environ, "PATH": path}, check=True)
    (built,) = folder.glob("*.whl")
    return built


def pythons():
    """The Python interpreters from 3.9 on that exist here, one per version: on the PATH, and pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [shutil.which(f"python3.{minor}") for minor in range(9, 20)] + sorted(pyenv.glob("3.*/bin/python"))
    found += Path("/usr/bin").glob("python3.[0-9]*")
    versions = {}
    for path in filter(None, found):
        ask = "import sys; print(*sys.version_info[:3], sys.executable)"  # pyenv's commands are scripts
        done = subprocess.run([path, "-c", ask], capture_output=True, text=True)
        if done.returncode == 0:
            *version, executable = done.stdout.split(maxsplit=3)
            versions.setdefault(tuple(map(int, version)), executable.strip())
    return {version: path for version, path in versions.items() if version >= (3, 9)}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_wheel_on_other_pythons(wheel, tmp_path, tiny_model):
    versions = pythons()
    assert versions
    for version, python in versions.items():
        folder = tmp_path / ".".join(map(str, version)) / "site-packages"
        subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "-q", "--disable-pip-version-check",
                        "--only-binary", ":all:", "--target", folder, wheel, "numpy", "tqdm"], check=True)
        done = subprocess.run([python, "-c", USE, tiny_model], env={"PATH": str(tmp_path), "PYTHONPATH": str(folder)},
                              cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.split() == ["0.1.0", "True"], f"Python {version}: {done.stderr}"
    print("the wheel runs on", *(".".join(map(str, version)) for version in sorted(versions)))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_runs_in_an_empty_environment(wheel, tmp_path, tiny_model):
    assert wheel.name.startswith("capp-") and "-py3-none-linux_" in wheel.name
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, "numpy", "tqdm"], check=True)
    done = subprocess.run([python, "-c", USE, tiny_model], env={"PATH": str(tmp_path)}, cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.stdout.split() == ["0.1.0", "True"], done.stderr
