"""The manual pages: one for each command, without a warning of mandoc, with every option and the exit statuses."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import run

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = subprocess.run([sys.executable, ROOT / "tools" / "manuals.py", "--list"], capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manuals")
    subprocess.run([sys.executable, ROOT / "tools" / "manuals.py", folder], check=True)
    return folder


def test_every_command_has_a_page():
    told = re.findall(r"^  ([a-z]+) {2,}", run("help").stdout.decode(), re.M)
    assert {f"capp-{name}.1" for name in told if name != "help"} == set(COMMANDS)
    listed = re.findall(r"^\.Xr (capp-\w+) 1", (ROOT / "docs" / "capp.1").read_text(), re.M)
    assert [f"{name}.1" for name in listed] == sorted(COMMANDS)


@pytest.mark.parametrize("page", COMMANDS)
def test_a_page(pages, page):
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc: tools/setup.sh site")
    command, path = page[5:-2], pages / page
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], capture_output=True, text=True)
    assert lint.returncode == 0 and not lint.stdout, lint.stdout
    text = subprocess.run(["mandoc", "-T", "ascii", "-O", "width=200", path], capture_output=True, text=True, check=True).stdout
    text = re.sub(r".\x08", "", text)
    told = run("help", command).stdout.decode()
    for option in re.findall(r"^  (?:-\w, |    )(--[a-z-]+)", told, re.M):
        assert option in ("--help", "--quiet") or re.search(rf"^     (-.*, )?{option}\b", text, re.M), option
    examples = [" ".join(line.split()) for line in told.split("Options:")[0].splitlines() if line.startswith("  ")]
    shown = " ".join(text[text.index("EXAMPLES"):].split())
    assert examples and all(example in shown for example in examples)
    assert re.search(r"^     2 +An error", text, re.M) and "SYNOPSIS" in text and f"capp {command}" in text


def test_every_command_has_its_own_bit():
    bits = [int(bit) for bit in re.findall(r"^    X\([A-Z]+, \w+, (\d+),", (ROOT / "cli" / "option_table.h").read_text(), re.M)]
    assert len(bits) == len(COMMANDS) == len(set(bits)) and all(bit & (bit - 1) == 0 for bit in bits)


def test_exit_statuses_are_those_of_the_command():
    listed = re.findall(r"EXIT_(?!SIGNAL)\w+ = (\d+)", (ROOT / "cli" / "util.h").read_text())
    page = (ROOT / "docs" / "capp.1").read_text()
    told = re.findall(r"^\.It (\d+)", page[page.index(".Sh EXIT STATUS"):], re.M)
    assert sorted(listed) == [status for status in sorted(told) if status != "130"]
