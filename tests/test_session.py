"""Sessions of a person: in pipes, and in a terminal (tmux)."""
import os
import re
import shlex
import shutil
import signal
import subprocess
import time

import pytest
from command import BUILD, CAPP, CLASSES

SLOWLY = ["--isa", "ref", "--threads", "1"]


def test_lines_in_a_pipe_are_answered_at_once(model, tmp_path):
    """tail -f log | capp classify | jq: each line is answered before the next one is written."""
    if not shutil.which("jq"):
        pytest.skip("no jq: apt install jq")
    log = tmp_path / "log"
    log.touch()
    command = f"tail -n +1 -f {log} | {shlex.join([CAPP, 'classify', *model, *CLASSES, '-q'])} | jq --unbuffered -r '.id, .prediction'"
    with subprocess.Popen(command, shell=True, stdout=subprocess.PIPE, text=True, start_new_session=True) as shell:
        took = []
        try:
            for i in range(5):
                begun = time.time()
                with open(log, "a", encoding="utf-8") as file:
                    file.write(f"line {i}\n")
                assert shell.stdout.readline() == f"{i}\n" and shell.stdout.readline() in ("yes\n", "no\n")
                took.append(time.time() - begun)
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
    print(f"the first line was answered in {took[0]:.2f} s, the others in {max(took[1:]):.2f} s")
    assert max(took[1:]) < 5  # tail looks once a second where there is no inotify


class Tmux:
    """A terminal that a person sees: types lines and keys, and reads the screen with what scrolled off it."""

    def __init__(self, folder):
        self.tmux = ["tmux", "-L", f"capp-{folder.name}", "-f", "/dev/null"]
        self.run("new-session", "-d", "-x", "120", "-y", "50", "-c", str(folder), "env", "PS1=$ ", f"PATH={BUILD}:/usr/bin:/bin", "TERM=screen",
                 "CAPP_CONFIG=", "bash", "--norc", "--noprofile")
        self.run("set-option", "-g", "history-limit", "20000")

    def run(self, *arguments):
        return subprocess.run([*self.tmux, *arguments], capture_output=True, text=True, check=True, timeout=20).stdout

    def screen(self):
        return self.run("capture-pane", "-p", "-S", "-", "-J")

    def keys(self, *keys):
        self.run("send-keys", *keys)

    def wait_for(self, pattern, after=0, seconds=60):
        end = time.time() + seconds
        while time.time() < end:
            text = self.screen()
            if found := re.search(pattern, text[after:], re.M):
                return found
            time.sleep(0.1)
        raise AssertionError(f"{pattern!r} did not come:\n{self.screen()}")

    def command(self, line, status=0):
        """Runs a command line and returns what it printed; checks its exit status."""
        mark = f"ended{time.monotonic_ns()}"
        self.keys("-l", f"{line}; echo {mark[:5]}''{mark[5:]} $?")
        self.keys("Enter")
        found = self.wait_for(rf"^{mark} (\d+)$")
        assert int(found[1]) == status, self.screen()
        return self.screen().split(mark)[0].rsplit("$ ", 1)[-1]

    def close(self):
        subprocess.run([*self.tmux, "kill-server"], capture_output=True)


@pytest.fixture
def terminal(tmp_path):
    if not shutil.which("tmux"):
        pytest.skip("no tmux: apt install tmux")
    terminal = Tmux(tmp_path)
    yield terminal
    terminal.close()


def test_a_persons_session(terminal, tiny_model, write, tmp_path):
    """init, plan, classify, Ctrl-C, resume, label ten rows, evaluate, calibrate, compare."""
    write("mail.csv", "id,text\n" + "".join(f'm{i},"message {i} about {"parcel refund password".split()[i % 3]}"\n' for i in range(3000)))
    terminal.command(f"capp init --defaults -m {tiny_model} -c 'delivery,refund,login' --precision f32 mail.csv")
    assert "delivery" in (tmp_path / "capp.toml").read_text()
    said = terminal.command("clear; capp plan --project capp.toml mail.csv")
    assert "3000" in said and "tokens" in said
    terminal.command("clear")
    base = f"capp classify --project capp.toml {shlex.join(SLOWLY)}"
    terminal.keys("-l", f"{base} -o first.db mail.csv; echo ended''early $?")
    terminal.keys("Enter")
    deadline = time.time() + 60
    while not ((tmp_path / "first.db").exists() and (tmp_path / "first.db").stat().st_size) and time.time() < deadline:
        time.sleep(0.02)
    terminal.keys("C-c")
    assert terminal.wait_for(r"^endedearly (\d+)$")[1] == "130" and "--resume" in terminal.screen()
    terminal.command(f"clear; {base} -o first.db --resume mail.csv")
    assert "3000" in terminal.command("capp export first.db | wc -l").split()
    terminal.command(f"{base} -t 'Message: {{text}} Kind:' -o second.db mail.csv")
    terminal.command("clear")
    terminal.keys("-l", "capp label first.db --order random; echo ended''label $?")
    terminal.keys("Enter")
    for n in range(10):
        terminal.wait_for(rf"{n} of 3000 rows have a label[\s\S]*q quit:")
        terminal.keys("-l", "123"[n % 3])
    terminal.wait_for("10 of 3000 rows have a label")
    terminal.keys("-l", "q")
    assert terminal.wait_for(r"^endedlabel (\d+)$")[1] == "0" and "10 rows labeled" in terminal.screen()
    assert "of 10)" in terminal.command("clear; capp evaluate first.db")
    assert "before" in terminal.command("clear; capp evaluate first.db --calibrate batch")
    terminal.command("clear; capp decide first.db --calibrate batch -o out.csv")
    assert (tmp_path / "out.csv").read_text().count("\n") == 3001
    said = terminal.command("clear; capp compare first.db second.db")  # with the labels of the first
    assert "10 with a label" in said and "McNemar" in said
