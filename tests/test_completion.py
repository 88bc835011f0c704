"""Completions for bash, zsh and fish, in the shells themselves."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from command import BUILD, CAPP, fails, run
from test_cli_terminal import Terminal

ROOT = Path(__file__).resolve().parent.parent
FILES = ROOT / "packaging" / "completions"


@pytest.fixture
def path(monkeypatch):
    """The command is the first capp in PATH."""
    monkeypatch.setenv("PATH", f"{BUILD}:{os.environ['PATH']}")


def commands():
    return re.findall(r"^  ([a-z]+)  ", run("help").stdout.decode(), re.M)


def options(command):
    return set(re.findall(r"^  (?:-\w, |    )(--[a-z-]+)", run("help", command).stdout.decode(), re.M))


def shell(name, text):
    program = shutil.which(name)
    if not program:
        pytest.skip(f"no {name}: apt install {name}")
    done = subprocess.run([program, *(["--norc"] if name == "bash" else []), "-c", text], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def bash(*words):
    text = " ".join(f"'{word}'" for word in words)
    return shell("bash", f'source {FILES}/capp.bash; COMP_WORDS=({text}); COMP_CWORD={len(words) - 1}; _capp; printf "%s\\n" "${{COMPREPLY[@]}}"').split()


def test_bash(path):
    assert set(bash("capp", "")) == {*commands(), "--version"}
    for command in commands():
        assert options(command) <= set(bash("capp", command, "--"))
    assert bash("capp", "decide", "--calibrate", "ba") == ["batch"] and bash("capp", "completion", "") == ["bash", "zsh", "fish"]
    assert bash("capp", "classify", "--agg") == ["--aggregate"] and bash("capp", "classify", "--aggregate", "s") == ["sum"]
    assert bash("capp", "classify", "in") == []  # the shell's files


def fish(line):
    return [found.split("\t")[0] for found in shell("fish", f"source {FILES}/capp.fish; complete -C '{line}'").splitlines()]


def test_fish(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "questions.csv").touch()
    assert set(fish("capp ")) == set(commands())
    for command in ("classify", "decide", "serve", "label"):
        assert options(command) <= set(fish(f"capp {command} --"))
    assert fish("capp decide --calibrate ba") == ["batch"] and set(fish("capp completion ")) >= {"bash", "zsh", "fish"}
    assert "questions.csv" in fish("capp classify ques") and fish("capp decide --aggregate que") == []


def test_zsh(path, tmp_path, monkeypatch):
    """In a terminal, with the keys of a person."""
    if not shutil.which("zsh"):
        pytest.skip("no zsh: apt install zsh")
    monkeypatch.setenv("HOME", str(tmp_path))
    terminal = Terminal(200)
    terminal.start("zsh", "-f", "-i")
    terminal.press(f"PS1='> '; cd {tmp_path}; fpath=({FILES} $fpath); autoload -Uz compinit && compinit -u -D; echo re''ady\r".encode())
    terminal.wait_for("ready")
    for typed, wanted in (("capp lab", "el"), ("capp decide --calibr", "ate"), ("capp decide --calibrate aff", "ine"),
                          ("capp completion fi", "sh"), ("capp label run.db --ord", "er")):
        terminal.told = ""
        terminal.press(typed.encode() + b"\t")
        terminal.wait_for(re.escape(typed.split()[-1]) + wanted + r"(\x1b\[\d*m)* ")
        terminal.press(b"\x15")
    terminal.process.kill()
    terminal.process.wait()


def test_scripts_have_every_option(tmp_path):
    for name in ("bash", "zsh", "fish"):
        text = run("completion", name).stdout.decode()
        for command in commands():
            assert command in text
            for option in options(command):
                assert option.removeprefix("--") in text
        if shutil.which(name):
            path = tmp_path / name
            path.write_text(text)
            assert subprocess.run([name, "-n", path]).returncode == 0
    fails(run("completion"), "bash, zsh or fish")
    fails(run("completion", "tcsh"), "bash, zsh or fish")


def test_help_has_examples():
    for command in commands():
        if command != "help":
            assert re.search(r"^  (source <\()?(capp|tail|echo|curl)\b.*", run("help", command).stdout.decode(), re.M), command
    assert CAPP
