"""Settings of the machine: ~/.config/capp/config and environment variables."""
import json
import os

import pytest
from command import fails, run

ROW = '{"text": "a"}\n'


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """settings(text) writes the file."""
    monkeypatch.delenv("CAPP_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def write(text):
        path = tmp_path / "config" / "capp" / "config"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def precision(*options, **more):
    done = run("evaluate", "-c", "a,b", "--label", "label", "--json", "-", *options, stdin='{"text": "x", "label": "a"}\n', **more)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)["precision"]


def test_each_counts_more_than_the_next(tiny_model, settings, monkeypatch):
    fails(run("evaluate", "-c", "a,b", "--label", "label"), "no model")
    settings(f"# machine\n\n model = {tiny_model} \nprecision=f32\n")
    assert precision() == "f32"
    monkeypatch.setenv("CAPP_PRECISION", "auto")
    assert precision() == "auto"
    assert precision("--precision", "f32") == "f32"
    monkeypatch.delenv("CAPP_PRECISION")
    settings("precision = f32\n")
    monkeypatch.setenv("CAPP_MODEL", str(tiny_model))
    assert precision() == "f32"


def test_where_the_file_is(tiny_model, settings, tmp_path, monkeypatch):
    path = settings(f"model = {tiny_model}\nprecision = f32\n")
    assert precision() == "f32"
    monkeypatch.setenv("CAPP_CONFIG", "")
    fails(run("evaluate", "-c", "a,b", "--label", "label"), "no model")
    monkeypatch.setenv("CAPP_CONFIG", str(tmp_path / "none"))
    fails(run("tokenize", stdin=ROW), str(tmp_path / "none"))
    monkeypatch.setenv("CAPP_CONFIG", str(path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "empty"))
    assert precision() == "f32"
    monkeypatch.delenv("CAPP_CONFIG")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    (tmp_path / ".config").mkdir()
    os.rename(path.parent, tmp_path / ".config" / "capp")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert precision() == "f32"


def test_settings_of_other_commands_are_ignored(tiny_model, settings, tmp_path, write):
    settings(f"model = {tiny_model}\nprecision = f32\nwindow = 7\nquiet = true\nfetch = no\n")
    store = tmp_path / "run.db"
    assert run("classify", "-c", "yes,no", "-o", store, write("in.csv", "id,text\n1,a\n")).returncode == 0
    for command in (["decide", store], ["export", store], ["evaluate", store, "--label", "id", "-c", "yes,no"], ["help"], ["completion", "bash"]):
        done = run(*command)
        assert done.returncode == 0 or b"label" in done.stderr, done.stderr


def test_wrong_settings(settings, monkeypatch):
    path = settings("threads = 4\nthread = 4\n")
    fails(run("tokenize", stdin=ROW), f"{path}:2", "'thread'", "weights-memory")
    settings("threads four\n")
    fails(run("tokenize", stdin=ROW), f"{path}:1", "threads = 4")
    settings("precision = f16\n")
    fails(run("classify", "-m", "x.gguf", stdin=ROW), f"{path}:1", "'f16'")
    settings("quiet = perhaps\n")
    fails(run("tokenize", stdin=ROW), f"{path}:1", "'perhaps'", "true or false")
    settings("")
    monkeypatch.setenv("CAPP_THREADS", "many")
    fails(run("classify", "-m", "x.gguf", stdin=ROW), "CAPP_THREADS", "'many'")
