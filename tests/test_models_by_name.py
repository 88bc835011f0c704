"""Models by name: in the caches of other programs, which the test makes in a HOME of its own, and from a hub on
loopback."""
import fcntl
import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from command import CAPP, fails, rows_of, run
from hub_server import COMMIT, Hub, git_hash

ROOT = Path(__file__).resolve().parent.parent
NAME = "acme/tiny-GGUF"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty HOME, and an environment without settings for caches and proxies."""
    for variable in list(os.environ):
        if (variable.startswith(("HF_", "HUGGING", "LLAMA_", "OLLAMA_", "XDG_")) or variable.lower().endswith("_proxy")
                or variable in ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")):
            monkeypatch.delenv(variable)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def hub(home, monkeypatch):
    server = Hub()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    yield server
    server.close()


@pytest.fixture
def tiny(tiny_model):
    return Path(tiny_model).read_bytes()


@pytest.fixture
def names(build, monkeypatch):
    """The package's module that finds models by name."""
    monkeypatch.setenv("CAPP_LIBRARY", str(build / "libcapp.so.0"))
    monkeypatch.syspath_prepend(str(ROOT / "python"))
    from capp import _names

    return _names


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def put_hub(hub_folder, name, files, commit=COMMIT):
    """Hugging Face's layout: blobs, and links to them."""
    folder = hub_folder / f"models--{name.replace('/', '--')}"
    put(folder / "refs" / "main", commit.encode())
    for file, content in files.items():
        blob = put(folder / "blobs" / hashlib.sha256(content).hexdigest(), content)
        link = folder / "snapshots" / commit / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return folder / "snapshots" / commit


def put_ollama(models, host, name, tag, content):
    digest = hashlib.sha256(content).hexdigest()
    layers = [{"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + "0" * 64},
              {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + digest, "size": len(content)}]
    put(models / "manifests" / host / name / tag, json.dumps({"schemaVersion": 2, "layers": layers}).encode())
    return put(models / "blobs" / f"sha256-{digest}", content)


def asked(hub, server=None):
    return [path for who, path, _ in hub.requests if server in (None, who)]


def blob_of(home, content, ending=""):
    name = hashlib.sha256(content).hexdigest() + ending
    return home / ".cache/huggingface/hub" / f"models--{NAME.replace('/', '--')}" / "blobs" / name


def classified(*model, **options):
    return run("classify", "-m", *model, "-c", "yes,no", stdin="the cat\n", **options)


# ---- Caches ----------------------------------------------------------------------------------------------------------


def in_hub(home, content):
    return put_hub(home / ".cache/huggingface/hub", NAME, {"tiny-Q4_K_M.gguf": content}) / "tiny-Q4_K_M.gguf"


def in_hf_home(home, content):
    return put_hub(home / "hf/hub", NAME, {"sub/tiny-Q4_K_M.gguf": content}) / "sub/tiny-Q4_K_M.gguf"


def in_hub_cache(home, content):
    return put_hub(home / "elsewhere", NAME, {"tiny.Q4_K_M.gguf": content}) / "tiny.Q4_K_M.gguf"


def in_xdg(home, content):
    return put_hub(home / "xdg/huggingface/hub", NAME, {"tiny-q4_k_m.gguf": content}) / "tiny-q4_k_m.gguf"


def in_llama_cpp(home, content):
    return put(home / ".cache/llama.cpp/acme_tiny-GGUF_tiny-Q4_K_M.gguf", content)


def in_llama_cache(home, content):
    return put(home / "llamas/acme_tiny-GGUF_sub_tiny-Q4_K_M.gguf", content)


def in_ollama(home, content):
    return put_ollama(home / ".ollama/models", "hf.co", NAME, "Q4_K_M", content)


def in_ollama_models(home, content):
    return put_ollama(home / "ollamas", "registry.ollama.ai", NAME, "q4_k_m", content)


def in_lm_studio(home, content):
    return put(home / ".lmstudio/models" / NAME / "tiny-Q4_K_M.gguf", content)


def in_old_lm_studio(home, content):
    return put(home / ".cache/lm-studio/models" / NAME / "tiny-Q4_K_M.gguf", content)


LAYOUTS = [(in_hub, {}, "Hugging Face"), (in_hf_home, {"HF_HOME": "hf"}, "Hugging Face"),
           (in_hub_cache, {"HF_HUB_CACHE": "elsewhere"}, "Hugging Face"), (in_xdg, {"XDG_CACHE_HOME": "xdg"}, "Hugging Face"),
           (in_llama_cpp, {}, "llama.cpp"), (in_llama_cache, {"LLAMA_CACHE": "llamas"}, "llama.cpp"),
           (in_ollama, {}, "Ollama"), (in_ollama_models, {"OLLAMA_MODELS": "ollamas"}, "Ollama"),
           (in_lm_studio, {}, "LM Studio"), (in_old_lm_studio, {}, "LM Studio")]


@pytest.mark.parametrize("layout, settings, cache", LAYOUTS, ids=[layout.__name__ for layout, _, _ in LAYOUTS])
def test_each_cache(home, tiny, names, monkeypatch, layout, settings, cache):
    for variable, folder in settings.items():
        monkeypatch.setenv(variable, str(home / folder))
    path = layout(home, tiny)
    direct = rows_of(classified(str(path)))
    assert rows_of(classified(f"{NAME}:Q4_K_M")) == direct and names.find(f"{NAME}:Q4_K_M") == str(path)
    (listed,) = json.loads(run("models", "--json").stdout)
    assert listed["cache"] == cache and listed["path"] == str(path) and listed["bytes"] == len(tiny)
    assert listed["architecture"] == "llama" and listed["runs"] is True
    assert rows_of(classified(listed["name"])) == direct  # the name in the list is one that -m takes
    for missing in (f"{NAME}:Q8_0", f"{NAME}:Q4_K", "acme/tiny", "acme/tiny-GGUFx:Q4_K_M", "cme/tiny-GGUF:Q4_K_M"):
        fails(classified(missing), missing, "no such file", f"capp models fetch {missing}")
        assert names.find(missing) is None
    if cache != "Ollama":  # Ollama has its own tag for a name without one
        assert rows_of(classified(NAME)) == direct and names.find(NAME) == str(path)
        file = path.name.replace("acme_tiny-GGUF_", "")
        assert rows_of(classified(f"{NAME}:{file}")) == direct and names.find(f"{NAME}:{file}") == str(path)
    assert json.loads(run("inspect", "--json", f"{NAME}:Q4_K_M").stdout)["file"]["bytes"] == str(len(tiny))


def test_the_package_opens_names(home, tiny, names, monkeypatch):
    import capp
    from capp.classify import predict

    path = in_hub(home, tiny)
    with capp.Model(NAME) as model:
        assert model.path == str(path)
    assert predict("the cat", ["sat", "ran"], f"{NAME}:Q4_K_M") in ("sat", "ran")
    with pytest.raises(OSError, match="no cache of this machine .* fetch=True.*capp models fetch acme/other"):
        capp.Model("acme/other")
    with pytest.raises(FileNotFoundError):
        capp.classify.predict("a", ["b", "c"], Path("acme/other"))  # a path is not a name


def test_a_folder_of_transformers(home, names, fixtures, tmp_path):
    from test_folders import write_tokenizer

    shutil.copytree(fixtures / "tiny" / "llama", tmp_path / "model")
    write_tokenizer(tmp_path / "model")
    files = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}
    folder = put_hub(home / ".cache/huggingface/hub", "acme/folder", files)
    assert rows_of(classified("acme/folder")) == rows_of(classified(str(tmp_path / "model")))
    assert names.find("acme/folder") == str(folder) and names.find("acme/folder:Q4_K_M") is None
    (listed,) = json.loads(run("models", "--json").stdout)
    assert listed["name"] == "acme/folder" and listed["architecture"] == "llama" and listed["runs"] is True


def test_a_path_comes_before_a_name(home, tiny, names, tmp_path):
    in_hub(home, b"not a model")
    put(tmp_path / NAME, tiny)
    assert len(rows_of(classified(NAME))) == 1 and names.find_model(NAME) == NAME
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).symlink_to("nowhere")  # for the command, a link that leads nowhere is a name again
    fails(classified(NAME), "tiny-Q4_K_M.gguf")
    fails(classified("acme/model.gguf"), "acme/model.gguf", "No such file")  # a mistyped file


def test_several_files_are_not_guessed(home, tiny, names):
    from capp import errors

    put_hub(home / ".cache/huggingface/hub", NAME, {f"tiny-{quant}.gguf": tiny for quant in ("Q4_K_M", "Q8_0")} |
            {"mmproj-tiny.gguf": b"x", "tiny-imatrix.dat": b"y"})
    fails(classified(NAME), "several files", "tiny-Q4_K_M.gguf, tiny-Q8_0.gguf")
    with pytest.raises(errors.InvalidError, match="several files: tiny-Q4_K_M.gguf, tiny-Q8_0.gguf"):
        names.find(NAME)
    for wanted in ("q8_0", "Q8_0", "tiny-Q8_0.gguf"):
        assert names.find(f"{NAME}:{wanted}").endswith("tiny-Q8_0.gguf") and rows_of(classified(f"{NAME}:{wanted}"))


def test_what_is_broken_is_no_model(home, tiny, names):
    """It does not stop the list either."""
    hub_folder = home / ".cache/huggingface/hub"
    put_hub(hub_folder, "acme/split", {"a-00001-of-00002.gguf": tiny})
    put_hub(hub_folder, "acme/outside", {"a.gguf": tiny}, commit="../../models--acme--whole")
    snapshot = put_hub(hub_folder, "acme/dangling", {"a.gguf": b"gone"})
    (snapshot / "a.gguf").resolve().unlink()
    (hub_folder / "models--acme--bare").mkdir()
    put_hub(hub_folder, "acme/whole", {"b-00001-of-00002.gguf": tiny, "b-00002-of-00002.gguf": tiny})
    put_hub(hub_folder, "acme/nonsense", {"c.gguf": b"nonsense"})
    manifests = home / ".ollama/models/manifests/registry.ollama.ai/acme"
    for i, text in enumerate([b"", b"{", b"[]", b'{"layers": 3}', b'{"layers": [3, {"digest": 4}]}', b'{"layers": [{'
                              b'"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../etc/passwd"}]}']):
        put(manifests / f"bad{i}" / "latest", text)
    listed = {row["name"]: row for row in json.loads(run("models", "--json").stdout)}
    assert set(listed) == {"acme/whole:b-00001-of-00002.gguf", "acme/nonsense:c.gguf"}
    assert listed["acme/nonsense:c.gguf"]["runs"] is False and listed["acme/nonsense:c.gguf"]["reason"]
    table = run("models").stdout.decode().splitlines()
    assert table[0].split() == ["NAME", "SIZE", "ARCHITECTURE", "RUNS"] and len(table) == 3
    for missing in ("acme/split", "acme/dangling", "acme/bare", *(f"acme/bad{i}" for i in range(6))):
        fails(classified(missing), missing)
        if not missing.startswith("acme/bad"):
            assert names.find(missing) is None
    assert names.find("acme/whole").endswith("b-00001-of-00002.gguf")


def test_no_models(home):
    done = run("models")
    assert done.returncode == 0 and not done.stdout and b"no models" in done.stderr
    assert json.loads(run("models", "--json").stdout) == []


@pytest.mark.parametrize("arguments, parts", [
    (["fetch"], ["no model is named"]), (["fetch", "tiny"], ["'tiny' is not the name"]), (["remove"], ["unknown 'remove'"]),
    (["fetch", "a/b/c"], ["'a/b/c'"]), (["fetch", "../b"], ["'../b'"]), (["fetch", "a/b:"], ["'a/b:'"]),
    (["fetch", "a/b", "c"], ["more than one INPUT: 'c'"]), (["fetch", "a/..%2f"], ["not the name"]),
])  # fmt: skip
def test_wrong_commands(hub, arguments, parts):
    fails(run("models", *arguments), *parts)
    assert not hub.requests


# ---- Fetching --------------------------------------------------------------------------------------------------------


@pytest.fixture
def stocked(hub, tiny):
    hub.repositories[NAME] = {"README.md": b"# tiny", ".gitattributes": b"*", "tiny-Q8_0.gguf": b"x" * 500,
                              "tiny-Q4_K_M.gguf": tiny}
    return hub


def fetched(name=f"{NAME}:Q4_K_M", **options):
    done = run("models", "fetch", name, **options)
    assert done.returncode == 0, done.stderr.decode()
    return Path(done.stdout.decode().strip())


def test_fetch(stocked, home, tiny, names):
    path = fetched()
    assert path.read_bytes() == tiny and path.resolve() == blob_of(home, tiny)
    assert path.parent.name == COMMIT and (path.parents[2] / "refs/main").read_text() == COMMIT
    assert os.readlink(path) == f"../../blobs/{hashlib.sha256(tiny).hexdigest()}"
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # only the wanted file
    assert asked(stocked) == [f"/api/models/{NAME}/revision/main?blobs=true", f"/{NAME}/resolve/{COMMIT}/{path.name}",
                              f"/cdn/{NAME}/{path.name}"]
    assert not any("Authorization" in headers for _, _, headers in stocked.requests)
    before = len(stocked.requests)
    assert rows_of(classified(f"{NAME}:Q4_K_M")) and names.find(NAME) == str(path) and len(stocked.requests) == before
    assert fetched() == path and len(stocked.requests) == before + 1  # only the list was requested


def test_nothing_leaves_the_machine_unasked(stocked, home):
    for arguments in (["classify", "-m", NAME, "-c", "a,b", "/dev/null"], ["inspect", NAME], ["models"], ["bench", "-m", NAME],
                      ["tokenize", "-m", NAME, "/dev/null"], ["models", "--json"]):
        run(*arguments)
    assert not stocked.requests
    done = classified(f"{NAME}:Q4_K_M", "--fetch")
    assert rows_of(done) and b"1 file, " in done.stderr and stocked.url.encode() in done.stderr
    before = len(stocked.requests)
    assert rows_of(classified(f"{NAME}:Q4_K_M", "--fetch")) and len(stocked.requests) == before


def test_quiet(stocked):
    assert not classified(f"{NAME}:Q4_K_M", "--fetch", "-q").stderr and not run("models", "fetch", NAME + ":Q8_0", "-q").stderr


def test_cut_connections_are_resumed(stocked, tiny):
    stocked.cuts = [1000, 500]
    path = fetched()
    assert path.read_bytes() == tiny
    assert [headers.get("Range") for who, _, headers in stocked.requests if who == "cdn"] == [None, "bytes=1000-",
                                                                                                "bytes=1500-"]


def test_a_server_without_ranges(stocked, tiny):
    stocked.cuts, stocked.ranges = [1000], False
    assert fetched().read_bytes() == tiny


def test_an_interrupted_fetch_goes_on(stocked, home, tiny):
    stocked.cuts = [1000] + [0] * 100
    process = subprocess.Popen([CAPP, "models", "fetch", f"{NAME}:Q4_K_M"], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    part = blob_of(home, tiny, ".incomplete")
    end = time.monotonic() + 20
    while time.monotonic() < end and not (part.exists() and part.stat().st_size == 1000 and len(stocked.cuts) < 100):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGINT and not out and b"interrupted; run the command again to continue" in err
    assert part.stat().st_size == 1000 and not blob_of(home, tiny).exists()
    fails(classified(f"{NAME}:Q4_K_M"), "no such file")
    stocked.cuts, stocked.requests = [], []
    done = run("models", "fetch", f"{NAME}:Q4_K_M")
    assert done.returncode == 0 and b", of which 0.977 KB is there" in done.stderr
    assert stocked.requests[-1][2]["Range"] == "bytes=1000-" and blob_of(home, tiny).read_bytes() == tiny


@pytest.mark.parametrize("part", [b"y" * 1000, b"y" * 10**6, b""], ids=["other", "longer", "empty"])
def test_a_partial_file_of_other_bytes(stocked, home, tiny, part):
    """A damaged download is detected by its hash, or by its length."""
    file = put(blob_of(home, tiny, ".incomplete"), part)
    done = run("models", "fetch", f"{NAME}:Q4_K_M")
    if part == b"y" * 1000:
        fails(done, "SHA-256", hashlib.sha256(tiny).hexdigest(), "deleted") if done.stderr.count(b"\n") == 1 else None
        assert done.returncode == 2 and b"the download was deleted" in done.stderr and not file.exists()
        done = run("models", "fetch", f"{NAME}:Q4_K_M")
    assert done.returncode == 0 and blob_of(home, tiny).read_bytes() == tiny


@pytest.mark.parametrize("file, kind", [("tiny-Q4_K_M.gguf", "SHA-256"), ("config.json", "SHA-1")])
def test_a_wrong_hash(stocked, home, file, kind):
    stocked.repositories[NAME] = {file: b"x" * 50 if kind == "SHA-1" else b"x" * 5000, "model.safetensors": b"y" * 500}
    stocked.sent = lambda content: content[:-1] + b"z"
    done = run("models", "fetch", NAME if kind == "SHA-1" else f"{NAME}:Q4_K_M")
    assert done.returncode == 2 and not done.stdout and f"the {kind} of the download is ".encode() in done.stderr
    folder = blob_of(home, b"").parent
    assert not list(folder.iterdir()) and not (folder.parent / "refs/main").exists()
    assert json.loads(run("models", "--json").stdout) == []


def test_tokens(stocked, home, tiny, monkeypatch):
    stocked.token = "hf_secret"
    fails(run("models", "fetch", NAME), NAME, "401", "set HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    fails(run("models", "fetch", NAME), NAME, "401", "the token in use may not read it")
    monkeypatch.setenv("HF_TOKEN", " hf_secret\n")
    stocked.requests = []
    assert fetched().read_bytes() == tiny
    sent = {who: headers.get("Authorization") for who, _, headers in stocked.requests}
    assert sent == {"hub": "Bearer hf_secret", "cdn": None}  # another host does not receive it
    monkeypatch.delenv("HF_TOKEN")
    put(home / ".cache/huggingface/token", b"hf_secret\n")
    assert fetched(f"{NAME}:Q8_0").exists()
    put(home / "other-token", b"hf_wrong")
    monkeypatch.setenv("HF_TOKEN_PATH", str(home / "other-token"))
    fails(run("models", "fetch", NAME), "401")


def test_offline(stocked, monkeypatch):
    for value in ("1", "ON", "true", "Yes"):
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        fails(run("models", "fetch", NAME), "HF_HUB_OFFLINE")
        fails(classified(NAME, "--fetch"), "HF_HUB_OFFLINE")
    assert not stocked.requests
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    fetched()


def test_proxies(stocked, tiny, monkeypatch):
    """The hub's own server is the proxy; its requests then contain a whole URL."""
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("http_proxy", stocked.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")  # the host that it redirects to
    assert fetched().read_bytes() == tiny
    assert asked(stocked, "hub")[0] == f"http://hub.invalid/api/models/{NAME}/revision/main?blobs=true"


def test_https(home, tiny, tmp_path, monkeypatch):
    """Certificates are checked, and no redirect goes from https to http."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True,
                   capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server, plain = Hub(context), Hub()
    try:
        server.repositories[NAME] = plain.repositories[NAME] = {"tiny-Q4_K_M.gguf": tiny}
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        fails(run("models", "fetch", NAME), NAME, "certificate")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        where, server.cdn_url = server.cdn_url, plain.cdn_url
        done = run("models", "fetch", NAME)
        assert done.returncode == 2 and b'Protocol "http"' in done.stderr and not plain.requests
        server.cdn_url = where
        assert fetched().read_bytes() == tiny
    finally:
        server.close()
        plain.close()


def test_temporary_failures(stocked):
    stocked.answers = [503, 429]
    fetched()
    stocked.answers = [500] * 9
    fails(run("models", "fetch", NAME), NAME, "the server answers 500; try again later")
    stocked.answers = [403]
    fails(run("models", "fetch", NAME), "403", "terms")


def test_what_is_not_there(stocked, monkeypatch):
    fails(run("models", "fetch", "acme/none"), "acme/none", "404")
    fails(run("models", "fetch", f"{NAME}:Q5_K"), f"{NAME}:Q5_K", "no such model", "tiny-Q8_0.gguf, tiny-Q4_K_M.gguf")
    fails(run("models", "fetch", NAME), "several files", "tiny-Q8_0.gguf, tiny-Q4_K_M.gguf")
    stocked.repositories["acme/torch"] = {"pytorch_model.bin": b"x"}
    fails(run("models", "fetch", "acme/torch"), "no GGUF files")
    monkeypatch.setenv("HF_ENDPOINT", "ftp://127.0.0.1/")
    fails(run("models", "fetch", NAME), NAME, "ftp")


def first(answer):
    return answer["siblings"][-1]


@pytest.mark.parametrize("change, part", [
    (lambda a: [], "not that of a model hub"), (lambda a: {**a, "sha": "../x"}, "not that of a model hub"),
    (lambda a: {**a, "siblings": 3}, "not that of a model hub"), (lambda a: first(a).update(rfilename="../../x.gguf") or a, "../../x.gguf"),
    (lambda a: first(a).update(rfilename="/etc/x.gguf") or a, "/etc/x.gguf"), (lambda a: first(a).update(rfilename=3) or a, "name"),
    (lambda a: first(a).update(rfilename="a//x.gguf") or a, "a//x.gguf"), (lambda a: first(a).update(rfilename="a\nx.gguf") or a, "invalid name, size or hash"),
    (lambda a: first(a)["lfs"].update(sha256="../../../x") or a, "invalid name, size or hash"), (lambda a: first(a)["lfs"].update(size=-1) or a, "invalid name, size or hash"),
    (lambda a: first(a)["lfs"].update(size=1e30) or a, "invalid name, size or hash"), (lambda a: first(a).update(lfs={}) or a, "invalid name, size or hash"),
    (lambda a: first(a)["lfs"].update(size=2**60) or a, "free"),
    (lambda a: first(a)["lfs"].update(size=100) or a, "more than the announced 100 bytes"),
])  # fmt: skip
def test_answers_that_cannot_be(stocked, home, change, part):
    """No answer of a server can write outside the cache."""
    stocked.change = change
    done = run("models", "fetch", f"{NAME}:Q4_K_M")
    assert done.returncode == 2 and not done.stdout and part in done.stderr.decode(), done.stderr.decode()
    assert all(path.is_dir() or path.name.endswith(".incomplete") for path in home.rglob("*"))


@pytest.mark.slow
def test_a_server_that_sends_less_than_it_says(stocked):
    stocked.change = lambda a: first(a)["lfs"].update(size=first(a)["lfs"]["size"] + 5) or a
    done = run("models", "fetch", f"{NAME}:Q4_K_M")
    assert done.returncode == 2 and b"tiny-Q4_K_M.gguf: the server" in done.stderr


def test_two_at_once(stocked, home, tiny):
    part = put(blob_of(home, tiny, ".incomplete"), b"")
    with open(part, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = run("models", "fetch", f"{NAME}:Q4_K_M")
        assert done.returncode == 2 and b"another process is downloading" in done.stderr
    fetched()


def test_a_split_set_and_a_folder(hub, home, fixtures, tmp_path, names):
    from test_folders import write_tokenizer

    parts = {f"q8/big-Q8_0-0000{i}-of-00003.gguf": bytes([i]) * 200 for i in (1, 2, 3)}
    hub.repositories["acme/split"] = {**parts, "q8/mmproj.gguf": b"x", "q4/big-Q4_0.gguf": b"y"}
    path = fetched("acme/split:Q8_0")
    assert path.name == "big-Q8_0-00001-of-00003.gguf" and path.parent.name == "q8" and len(list(path.parent.iterdir())) == 3
    assert path.read_bytes() == parts["q8/big-Q8_0-00001-of-00003.gguf"] and names.find("acme/split:Q8_0") == str(path)
    shutil.copytree(fixtures / "tiny" / "llama", tmp_path / "model")
    write_tokenizer(tmp_path / "model")
    files = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}
    hub.repositories["acme/folder"] = {**files, "onnx/model.onnx": b"x", "onnx/config.json": b"y", "pytorch_model.bin": b"z",
                                       "consolidated.safetensors": b"w"}
    folder = fetched("acme/folder")
    assert {file.name for file in folder.iterdir()} == set(files) and folder.name == COMMIT
    small = next(file for file, content in files.items() if not hub.is_large(content)) if any(
        not hub.is_large(content) for content in files.values()) else None
    if small:
        assert os.path.basename(os.readlink(folder / small)) == git_hash(files[small])
    assert rows_of(classified("acme/folder")) == rows_of(classified(str(tmp_path / "model")))


def test_the_package_fetches_with_huggingface_hub(home, tiny, names, monkeypatch):
    """Calls like those of huggingface_hub's functions; the package stores in the same cache."""
    import capp

    calls = []

    def snapshot_download(name, allow_patterns, cache_dir):
        calls.append((name, allow_patterns))
        return str(put_hub(Path(cache_dir), name, {file: tiny for file in allow_patterns}))

    files = {NAME: ["README.md", "tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf"],
             "acme/folder": ["config.json", "model.safetensors", "tokenizer.json", "onnx/config.json", "pytorch_model.bin",
                             "consolidated.safetensors", "README.md", "additional_chat_templates/tool.jinja"],
             "acme/split": ["a-00001-of-00002.gguf", "a-00002-of-00002.gguf", "b.gguf"]}
    module = types.SimpleNamespace(list_repo_files=files.get, snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    with pytest.raises(OSError):
        capp.Model(f"{NAME}:Q4_K_M")
    assert not calls
    with capp.Model(f"{NAME}:Q4_K_M", fetch=True) as model:
        assert model.path == names.find(f"{NAME}:Q4_K_M")
    assert calls == [(NAME, ["tiny-Q4_K_M.gguf"])]
    capp.Model(f"{NAME}:Q4_K_M", fetch=True).close()
    assert len(calls) == 1
    names.download("acme/folder")
    names.download("acme/split:a-00001-of-00002.gguf")
    assert [set(patterns) for _, patterns in calls[1:]] == [
        {"config.json", "model.safetensors", "tokenizer.json", "additional_chat_templates/tool.jinja"},
        {"a-00001-of-00002.gguf", "a-00002-of-00002.gguf"}]
    for wanted, part in (("Q5_0", "it has tiny-Q4_K_M.gguf, tiny-Q8_0.gguf"), ("tiny-Q5_0.gguf", "no such file")):
        with pytest.raises(ValueError, match=part):
            capp.Model(f"{NAME}:{wanted}", fetch=True)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="capp models fetch acme/other"):
        capp.Model("acme/other", fetch=True)


def test_a_download_with_a_wrong_hash(home, tiny, names, monkeypatch):
    def snapshot_download(name, allow_patterns, cache_dir):
        folder = put_hub(Path(cache_dir), name, {"a.gguf": tiny})
        (folder / "a.gguf").resolve().write_bytes(tiny[:-1] + b"z")
        return str(folder)

    module = types.SimpleNamespace(list_repo_files=lambda name: ["a.gguf"], snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    with pytest.raises(OSError, match="SHA-256 .* deleted"):
        names.download("acme/a")
    assert names.find("acme/a") is None
