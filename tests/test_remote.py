"""capp.remote against a small server of /v1/completions that answers from capp itself."""
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cappr_cases
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PROMPTS, COMPLETIONS = ["the cat", "in a house", "yes or no", "he", "a b"], ["yes", "no", "on the way", "in"]


@pytest.fixture(scope="module")
def model(build, tiny_model):
    os.environ["CAPP_LIBRARY"] = str(build / "libcapp.so.0")
    sys.path.insert(0, str(ROOT / "python"))
    import capp

    with capp.Model(tiny_model, precision="f32", threads=1) as opened:
        yield opened


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        state = self.server.state
        state["requests"] += 1
        if state["failures"]:
            state["failures"] -= 1
            return self.reply(503, {"error": {"message": "busy"}})
        if request["model"] != "tiny":
            return self.reply(404, {"error": {"message": "no such model"}})
        self.reply(200, {"id": "1", "object": "text_completion", "created": 0, "model": "tiny",
                         "choices": [self.choice(i, text) for i, text in enumerate(request["prompt"])][::-1]})

    def choice(self, index, text):
        from capp.classify import token_logprobs

        model, kind = self.server.state["model"], self.server.state["kind"]
        pieces = [model.detokenize([i]) for i in model.tokenize(text)]
        offsets = np.cumsum([0, *map(len, pieces)])[:-1].tolist()
        logprobs = token_logprobs(text, model, end_of_prompt="", show_progress_bar=False)
        if kind == "generates":
            pieces, offsets, logprobs = [*pieces, "!"], [*offsets, len(text)], [*logprobs, -0.1]
        echo = {"tokens": pieces, "token_logprobs": logprobs, "text_offset": offsets, "top_logprobs": None}
        return {"index": index, "text": text, "finish_reason": "length", "logprobs": None if kind == "mute" else echo}

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def served(model):
    """(the state of a server, a RemoteModel of it)"""
    from capp.remote import RemoteModel

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.state = {"requests": 0, "failures": 0, "model": model, "kind": "echoes"}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.state, RemoteModel("tiny", base_url=f"http://127.0.0.1:{server.server_port}/v1", retries=2)
    server.shutdown()
    server.server_close()


def same(name, served, model, *arguments, **keywords):
    from capp import classify, remote

    mine = getattr(remote, name)(*arguments, served[1], **keywords)
    local = getattr(classify, name)(*arguments, model, **keywords)
    wrong = cappr_cases.agree(cappr_cases.plain(mine), cappr_cases.plain(local), 1e-4)
    assert wrong is None, f"{name}: {wrong}"


@pytest.mark.parametrize("kind", ["echoes", "generates"])
def test_the_same_as_here(served, model, kind):
    from capp import Example

    served[0]["kind"] = kind
    examples = [Example("the cat", ["yes", "no"], prior=[0.3, 0.7]), Example("a", ["b", "in"], normalize=False)]
    ragged = [*examples, Example("he", ["a", "b", "c"])]
    for prompts in (PROMPTS, "the cat"):
        same("token_logprobs", served, model, prompts)
        same("log_probs_conditional", served, model, prompts, COMPLETIONS)
        same("predict_proba", served, model, prompts, COMPLETIONS, prior=[0.1, 0.2, 0.3, 0.4], batch_size=3)
        same("predict_proba", served, model, prompts, COMPLETIONS, normalize=False, discount_completions=0.5)
        same("predict", served, model, prompts, COMPLETIONS)
    for given in (ragged, examples[0]):
        for name in ("log_probs_conditional_examples", "predict_proba_examples", "predict_examples"):
            same(name, served, model, given)


def test_caches(served, model):
    from capp import CacheClearedError, classify, remote

    with remote.cache(served[1], "in the") as outer, remote.cache(outer, "house") as inner:
        mine = remote.predict_proba(PROMPTS, COMPLETIONS, inner)
    local = classify.predict_proba([f"in the house {p}" for p in PROMPTS], COMPLETIONS, model)
    assert np.allclose(mine, local, atol=1e-4)
    with pytest.raises(CacheClearedError):
        remote.predict(PROMPTS, COMPLETIONS, inner)


def test_retries_and_errors(served, monkeypatch):
    import openai
    from capp import remote

    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)
    state, model = served
    state["failures"] = 2
    assert remote.predict("the cat", COMPLETIONS, model) in COMPLETIONS and state["requests"] == 3
    state["failures"] = 9
    with pytest.raises(remote.RemoteError, match="503"):
        remote.predict("the cat", COMPLETIONS, model)
    state["failures"], state["kind"] = 0, "mute"
    with pytest.raises(remote.RemoteError, match="echo and logprobs"):
        remote.predict("the cat", COMPLETIONS, model)
    with pytest.raises(remote.RemoteError, match="404"):
        remote.predict("the cat", COMPLETIONS, "other", client=model.client)
    with pytest.raises(remote.RemoteError, match="does not answer"):
        remote.predict("a", COMPLETIONS, remote.RemoteModel("tiny", base_url="http://127.0.0.1:9/v1", retries=0))
    with pytest.raises(TypeError, match="RemoteModel"):
        remote.predict("a", COMPLETIONS, 3)
    for arguments in ([], COMPLETIONS), (PROMPTS, ["a"]), (PROMPTS, ["a", ""]), ("", COMPLETIONS):
        with pytest.raises(ValueError):
            remote.predict(*arguments, model)
