"""A session at a terminal: progress, Ctrl-C, resuming, the end; and progress where there is no terminal."""
import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import pytest
from command import CAPP, CLASSES, run

TAIL = " of many rows, with a tail that makes it long enough to take some time to read"
ALIKE = ["-c", ",".join(f"the answer to all of these questions is number {letter}" for letter in "abcdefghijkl")]
SLOWLY = ["--isa", "ref", "--threads", "1"]


class Terminal:
    """A shell's terminal with so many columns: records what a program wrote to it, and sends keys."""

    def __init__(self, columns=80):
        self.own, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.told = ""

    def start(self, *command):
        def become_foreground():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen([*map(str, command)], stdin=self.theirs, stdout=self.theirs, stderr=self.theirs,
                                        preexec_fn=become_foreground)
        self.told = ""

    def read(self):
        if select.select([self.own], [], [], 0.2)[0]:
            with contextlib.suppress(OSError):
                self.told += os.read(self.own, 65536).decode()

    def wait_for(self, pattern):
        deadline = time.time() + 60
        while not (found := re.search(pattern, self.told)) and time.time() < deadline:
            self.read()
        assert found, f"{pattern!r} did not come: {self.told!r}"
        return found

    def press(self, keys):
        os.write(self.own, keys)

    def end(self):
        """The exit status, after all output was read."""
        os.set_blocking(self.own, False)
        status = None
        while status is None:
            status = self.process.poll()
            time.sleep(0.01)
            self.read()
        os.set_blocking(self.own, True)
        return status

    def shown(self):
        """The lines on the screen; text that a carriage return overwrote is gone."""
        lines = []
        for line in self.told.split("\n"):
            shown = ""
            for part in line.rstrip("\r").split("\r"):
                shown = part if "\x1b[K" in part or len(part) >= len(shown) else part + shown[len(part):]
            lines.append(shown.replace("\x1b[K", ""))
        return [line for line in lines if line]


@pytest.fixture
def source(write):
    return lambda n: write("many.txt", "".join(f"{i} is the number{TAIL}\n" for i in range(n)))


def test_a_session_at_a_terminal(model, source, tmp_path):
    """Progress is visible. Two runs end by Ctrl-C; each resumes where the one before ended."""
    source, whole, out = source(9000), tmp_path / "whole.csv", tmp_path / "out.csv"
    assert run("classify", *model, *CLASSES, *SLOWLY, "-o", whole, source).returncode == 0
    command = [CAPP, "classify", *model, *CLASSES, *SLOWLY, "-o", out, source]
    terminal, kept = Terminal(), 0
    for _ in range(2):
        terminal.start(*command, *(["--resume"] if kept else []))
        terminal.wait_for(r"\[#*\.*\]  \d+ %  \d+ rows  [\d.]+/s")
        while not (out.exists() and out.read_bytes().count(b"\n") > kept + 20):
            terminal.read()
        terminal.press(b"\x03")
        assert terminal.end() == 130
        told = terminal.shown()
        n = int(re.search(r"stopped by a signal after (\d+) rows, all complete in .*--resume", told[-1])[1])
        assert kept < n < 9000 and not any("[#" in line or "[." in line for line in told)  # the bar is wiped
        kept = n
    terminal.start(*command, "--resume")
    assert terminal.end() == 0
    assert f"keeping {kept} complete rows and continuing" in terminal.told and not any("[#" in line for line in terminal.shown())
    assert out.read_bytes() == whole.read_bytes()
    terminal.start(*command)  # started once more, by mistake
    assert terminal.end() == 2 and "--overwrite" in terminal.told and out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("columns", [80, 40, 20, 5])
def test_narrow_terminals(model, source, columns):
    """No line is longer than the terminal is wide; a longer one would wrap and stay."""
    terminal, rows, drawn = Terminal(columns), 750, []
    while not drawn and rows < 1_000_000:  # until the run is long enough for a bar, however fast the machine is
        rows *= 2
        terminal.start("sh", "-c", '"$@" >/dev/null', "sh", CAPP, "classify", *model, *CLASSES, *SLOWLY, source(rows))
        assert terminal.end() == 0
        drawn = [part.replace("\x1b[K", "") for part in terminal.told.split("\r") if "%" in part or "rows  " in part]
    assert drawn and all(0 < len(line) < max(columns, 10) for line in drawn)
    assert any("%" in line for line in drawn) and any("[" in line for line in drawn) == (columns > 50)


def test_progress_without_a_terminal(model, source):
    """One line per second, in a fixed form; none where the run is short, or where the user asked for none."""
    slow = [CAPP, "classify", *model, *CLASSES, *SLOWLY]
    rows, lines = 3000, []
    while not lines and rows < 1_000_000:  # until the run takes a second, however fast the machine is
        rows *= 2
        told = subprocess.run([*slow, "--progress", "1", source(rows)], capture_output=True).stderr.decode().splitlines()
        lines = [line for line in told if "%" in line]
    assert lines and all(re.fullmatch(r"capp: \d+ %  \d+ rows  [\d.]+/s(  [\d:]+ left)?", line) for line in lines)
    for more in ["--progress", "0"], []:
        assert "%" not in subprocess.run([*slow, *more, source(200)], capture_output=True).stderr.decode()


@pytest.mark.long  # measures time, which a busy machine spoils
@pytest.mark.parametrize("classes, long, short", [(CLASSES, 24000, 40000), (ALIKE, 12000, 24000)])
def test_time_left_is_honest(model, write, classes, long, short):
    """From the fifth second on, the estimate is within half of the actual time, for rows of any length and however much
    classes share."""
    rows = [f"{i} is the number{TAIL if i < long else ''}\n" for i in range(long + short)]
    path = write("many.txt", "".join(rows))
    command = [CAPP, "classify", *model, *classes, *SLOWLY, "--progress", "1", str(path)]
    told = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if left := re.search(r"(\d+):(\d\d) left", line):
                told.append((time.time(), 60 * int(left[1]) + int(left[2])))
        process.wait()
        end = time.time()
    assert told
    for when, left in told:
        took = end - when
        assert abs(left - took) <= max(3, took / 2), (left, took, told)
