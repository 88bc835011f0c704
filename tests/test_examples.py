"""The examples run on a few of their bundled rows. With --long they run on all rows and must give the numbers that they
state."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
# name: options for few rows, text that the output then contains.
FEW = {
    "copa": (["--rows", "6"], r"of 6 right"),
    "banking77": (["--rows", "1"], r"plain +\d+\.\d% of 1 right.*\nlisted "),
    "topics": (["--rows", "8"], r"three, added up: +\d+\.\d%"),
    "emotions": (["--rows", "3"], r"a true label above a false one: \d+% by probability"),
    "science": (["--rows", "3"], r"after the passage +\d+\.\d% of 3 right"),
    "reasoning": (["--rows", "2", "--tokens", "10"], r"step by step +\d+\.\d% of 2 right"),
    "calibration": (["--rows", "16"], r"affine +\d+\.\d% of 16 right"),
}
SLACK = 0.05  # of a share: close rows are decided differently in another precision


def run(name, build, model, *options):
    env = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "python"), "CAPP_LIBRARY": str(build / "libcapp.so.0")}
    done = subprocess.run([sys.executable, EXAMPLES / f"{name}.py", "--model", model, *options], env=env, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_are_tested_and_listed():
    names = {path.stem for path in EXAMPLES.glob("*.py")} - {"common"}
    assert names == set(FEW)
    for page in (EXAMPLES / "README.md", EXAMPLES.parent / "docs" / "examples.md"):
        assert {f"{name}.py" for name in names} <= set(re.findall(r"\w+\.py", page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", FEW)
def test_few_rows(name, build, smollm2, tmp_path):
    options, expected = FEW[name]
    plot = ["--plot", tmp_path / "plot.svg"] if name == "calibration" else []
    assert re.search(expected, run(name, build, smollm2, *options, *plot))
    assert not plot or (tmp_path / "plot.svg").read_text(encoding="utf-8").count("<path") > 10


@pytest.mark.parametrize("rows", [1, 8, 15])
def test_too_few_rows_for_folds(rows, build, tiny_model):
    env = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "python"), "CAPP_LIBRARY": str(build / "libcapp.so.0")}
    done = subprocess.run([sys.executable, EXAMPLES / "calibration.py", "--model", tiny_model, "--rows", str(rows)], env=env,
                          capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "use --rows 16 or more" in done.stderr


def test_a_missing_model_is_named(build, tmp_path):
    env = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "python"), "CAPP_LIBRARY": str(build / "libcapp.so.0"),
           "CAPP_MODELS": str(tmp_path)}
    done = subprocess.run([sys.executable, EXAMPLES / "copa.py"], env=env, capture_output=True, text=True)
    assert done.returncode == 1 and "smollm2.gguf is missing: run `make models`" in done.stderr


def shares(text):
    """The numbers in the lines that say how many rows were right."""
    return [float(number) / 100 for line in text.splitlines() if re.search(r"\d% (?:of \d+ right|by probability)", line)
            for number in re.findall(r"(\d+(?:\.\d)?)%", line)]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FEW)
def test_all_rows_give_what_is_said(name, build, smollm2):
    said = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").split('"""')[1]
    gave = run(name, build, smollm2)
    assert shares(said) and len(shares(gave)) == len(shares(said))
    assert all(abs(mine - theirs) <= SLACK for mine, theirs in zip(shares(gave), shares(said))), gave
