"""The functions of :mod:`capp.classify` against a server of OpenAI's /v1/completions that echoes prompts with their
log-probabilities: capp's, vLLM's, llama-cpp-python's and others'.

The model is the name that the server knows it by, with a client of the `openai` package; or a :class:`RemoteModel`.
Prompt and completion are sent as one text, which the server tokenises as a whole: where a token reaches over the seam, it
counts for the completion.

>>> from capp.remote import RemoteModel, predict
>>> model = RemoteModel("gemma", base_url="http://localhost:8000/v1")  # doctest: +SKIP
>>> predict("The sky is", ["blue", "green"], model)  # doctest: +SKIP
'blue'
"""
from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import openai

from capp import _check
from capp._aggregate import agg_log_probs, posterior_prob
from capp._call import Callbacks, Progress
from capp._example import Example
from capp.classify import _check_batch, _completions, _examples, _texts
from capp.errors import CacheClearedError, CappError

__all__ = ["RemoteError", "RemoteModel", "agg_log_probs", "cache", "cache_model", "log_probs_conditional",
           "log_probs_conditional_examples", "posterior_prob", "predict", "predict_examples", "predict_proba",
           "predict_proba_examples", "token_logprobs"]


class RemoteError(CappError):
    """The server cannot be reached, refuses, or gives no log-probabilities."""


class RemoteModel:
    """A model on a server.

    Parameters
    ----------
    name
        what the server calls it
    client
        an openai.OpenAI; by default one is made of the rest
    base_url, api_key
        of the server; by default what the environment's OPENAI_BASE_URL and OPENAI_API_KEY say
    retries
        of a request that fails for a passing reason, each after a longer wait
    max_tokens
        sent with each request: 0, or 1 for servers that insist on generating; what is generated is not looked at
    """

    def __init__(self, name: str, client: openai.OpenAI | None = None, *, base_url: str | None = None,
                 api_key: str | None = None, retries: int = 5, max_tokens: int = 0) -> None:
        self.name, self.max_tokens, self.prefix = name, max_tokens, ""
        self.cleared = False
        self.client = client or openai.OpenAI(base_url=base_url, api_key=api_key or "none", max_retries=retries)

    def after(self, prefix: str) -> RemoteModel:
        """The same model, where every text follows prefix and a space."""
        made = RemoteModel(self.name, self.client, max_tokens=self.max_tokens)
        made.prefix = f"{self.prefix} {prefix.removeprefix(' ')}" if self.prefix else prefix
        return made

    def echo(self, texts: list[str]) -> list[tuple[list[int], list[float | None]]]:
        """For each text where its tokens begin and their log-probabilities, in one request."""
        if self.cleared:
            raise CacheClearedError("this cached model belongs to a context that has ended")
        try:
            answer = self.client.completions.create(model=self.name, prompt=texts, echo=True, logprobs=1,
                                                    max_tokens=self.max_tokens, temperature=0)
        except openai.APIStatusError as error:
            raise RemoteError(f"{self.client.base_url} refuses {self.name!r}: {error.status_code} {error.message}") \
                from error
        except openai.APIError as error:
            raise RemoteError(f"{self.client.base_url} does not answer: {error}") from error
        choices = sorted(answer.choices, key=lambda choice: choice.index)
        if len(choices) != len(texts):
            raise RemoteError(f"{self.client.base_url} gives {len(choices)} answers to {len(texts)} prompts")
        return [self._tokens(choice.logprobs, text) for choice, text in zip(choices, texts)]

    def _tokens(self, logprobs: Any, text: str) -> tuple[list[int], list[float | None]]:
        if logprobs is None or not logprobs.token_logprobs or not logprobs.text_offset:
            raise RemoteError(f"{self.client.base_url} gives no log-probabilities of the prompt; capp.remote needs a "
                              "server that knows echo and logprobs together")
        offsets = logprobs.text_offset
        n = sum(offset < len(text) for offset in offsets)  # what follows was generated
        if not n:
            raise RemoteError(f"{self.client.base_url} does not echo the prompt")
        return offsets[:n], logprobs.token_logprobs[:n]


AnyModel = Any


def _remote(model: AnyModel, client: openai.OpenAI | None) -> RemoteModel:
    if isinstance(model, RemoteModel):
        return model
    if isinstance(model, str):
        return RemoteModel(model, client)
    raise TypeError(f"the model must be a RemoteModel or the name of one, not {type(model).__name__}")


def _ask(model: RemoteModel, texts: list[str], seams: list[int], batch_size: int, show: bool | None,
         rows: list[int]) -> list[list[float | None]]:
    """Log-probabilities of the tokens of each text that reach beyond its seam. rows: how many texts each row has."""
    _check_batch(batch_size)
    out: list[list[float | None]] = []
    done = np.repeat(np.arange(1, len(rows) + 1), rows)
    with Progress(len(rows), show, "conditional log-probs", Callbacks()) as progress:
        for i in range(0, len(texts), batch_size):
            part = texts[i:i + batch_size]
            for (offsets, logprobs), text, seam in zip(model.echo(part), part, seams[i:]):
                ends = [*offsets[1:], len(text)]
                out.append([logprob for end, logprob in zip(ends, logprobs) if end > seam])
            if progress.bar is not None:
                progress.update(int(done[min(i + batch_size, len(texts)) - 1]), len(rows))
    return out


def _conditional(model: RemoteModel, prompts: list[str], completions: list[list[str]], ends: list[str], batch_size: int,
                 show: bool | None) -> list[list[list[float]]]:
    texts, seams = [], []
    for prompt, row, end in zip(prompts, completions, ends):
        whole = f"{model.prefix} {prompt}" if model.prefix else prompt
        texts += [f"{whole}{end}{completion}" for completion in row]
        seams += [len(whole)] * len(row)
    sizes = [len(row) for row in completions]
    flat: list[Any] = _ask(model, texts, seams, batch_size, show, sizes)
    ends_of_rows = np.cumsum([0, *sizes])
    return [flat[a:b] for a, b in zip(ends_of_rows, ends_of_rows[1:])]


def token_logprobs(texts: str | Sequence[str], model: AnyModel, client: openai.OpenAI | None = None,
                   end_of_prompt: str = " ", show_progress_bar: bool | None = None, batch_size: int = 16,
                   **_kwargs: Any) -> list[float | None] | list[list[float | None]]:
    """See :func:`capp.classify.token_logprobs`. Whether a BOS comes first is the server's choice."""
    listed = _texts(texts, "texts")
    _check.end_of_prompt(end_of_prompt)
    remote = _remote(model, client)
    before = remote.prefix
    out = _ask(remote, [before + end_of_prompt + text for text in listed], [len(before)] * len(listed), batch_size,
               show_progress_bar, [1] * len(listed))
    out = [[None, *logprobs[1:]] for logprobs in out]
    return out[0] if isinstance(texts, str) else out


def log_probs_conditional(prompts: str | Sequence[str], completions: Sequence[str], model: AnyModel,
                          client: openai.OpenAI | None = None, end_of_prompt: str = " ",
                          show_progress_bar: bool | None = None, batch_size: int = 16,
                          **_kwargs: Any) -> list[list[float]] | list[list[list[float]]]:
    """See :func:`capp.classify.log_probs_conditional`."""
    _check.nonempty_and_ordered(prompts, "prompts")
    choices = _completions(completions)
    _check.end_of_prompt(end_of_prompt)
    listed = _texts(prompts, "prompts")
    out = _conditional(_remote(model, client), listed, [choices] * len(listed), [end_of_prompt] * len(listed), batch_size,
                       show_progress_bar)
    return out[0] if isinstance(prompts, str) else out


def log_probs_conditional_examples(examples: Example | Sequence[Example], model: AnyModel,
                                   client: openai.OpenAI | None = None, show_progress_bar: bool | None = None,
                                   batch_size: int = 16,
                                   **_kwargs: Any) -> list[list[float]] | list[list[list[float]]]:
    """See :func:`capp.classify.log_probs_conditional_examples`."""
    listed = _examples(examples)
    out = _conditional(_remote(model, client), [e.prompt for e in listed], [list(e.completions) for e in listed],
                       [e.end_of_prompt for e in listed], batch_size, show_progress_bar)
    return out[0] if isinstance(examples, Example) else out


def _discounted(logprobs: list[list[list[float]]], discount: float,
                marginals: Sequence[Sequence[float | None]]) -> list[list[npt.NDArray[Any]]]:
    weights = [discount * np.array([0.0 if value is None else value for value in row]) for row in marginals]
    return [[np.array(tokens) + weight for tokens, weight in zip(row, weights)] for row in logprobs]


def predict_proba(prompts: str | Sequence[str], completions: Sequence[str], model: AnyModel,
                  client: openai.OpenAI | None = None, prior: Sequence[float] | None = None, end_of_prompt: str = " ",
                  normalize: bool = True, discount_completions: float = 0.0,
                  log_marg_probs_completions: Sequence[Sequence[float | None]] | None = None,
                  show_progress_bar: bool | None = None, batch_size: int = 16,
                  **_kwargs: Any) -> npt.NDArray[Any]:
    """See :func:`capp.classify.predict_proba`."""
    prior = _check.prior(prior, len(completions))  # type: ignore[assignment]
    _check.normalize(normalize, completions)
    if not discount_completions and log_marg_probs_completions is not None:
        raise TypeError("log_marg_probs_completions is given, but without discount_completions it would not be used")
    remote = _remote(model, client)
    listed: Any = [prompts] if isinstance(prompts, str) and prompts else prompts
    logprobs: Any = log_probs_conditional(listed, completions, remote, None, end_of_prompt, show_progress_bar, batch_size)
    if discount_completions:
        marginals: Any = log_marg_probs_completions
        if marginals is None:
            marginals = token_logprobs(completions, remote, None, end_of_prompt, False, batch_size)
        logprobs = _discounted(logprobs, discount_completions, marginals)
    out: Any = posterior_prob(agg_log_probs(logprobs), axis=1, prior=prior, normalize=normalize)
    return out[0] if isinstance(prompts, str) else out


def predict(prompts: str | Sequence[str], completions: Sequence[str], model: AnyModel,
            client: openai.OpenAI | None = None, prior: Sequence[float] | None = None, end_of_prompt: str = " ",
            discount_completions: float = 0.0,
            log_marg_probs_completions: Sequence[Sequence[float | None]] | None = None,
            show_progress_bar: bool | None = None, batch_size: int = 16, **_kwargs: Any) -> str | list[str]:
    """See :func:`capp.classify.predict`."""
    if len(completions) == 1:
        raise ValueError("one completion alone is no choice; use predict_proba with normalize=False for its probability")
    probabilities = predict_proba(prompts, completions, model, client, prior, end_of_prompt, True, discount_completions,
                                  log_marg_probs_completions, show_progress_bar, batch_size)
    choices = list(completions)
    out = [choices[i] for i in np.atleast_2d(probabilities).argmax(axis=1)]
    return out[0] if isinstance(prompts, str) else out


def predict_proba_examples(examples: Example | Sequence[Example], model: AnyModel, client: openai.OpenAI | None = None,
                           show_progress_bar: bool | None = None, batch_size: int = 16, **_kwargs: Any
                           ) -> npt.NDArray[Any] | list[npt.NDArray[Any]]:
    """See :func:`capp.classify.predict_proba_examples`."""
    listed = _examples(examples)
    logprobs: Any = log_probs_conditional_examples(listed, model, client, show_progress_bar, batch_size)
    out = [posterior_prob(agg_log_probs(row), axis=0, prior=e.prior, normalize=e.normalize, check_prior=False)
           for row, e in zip(logprobs, listed)]
    if isinstance(examples, Example):
        return out[0]
    return np.array(out) if len({len(row) for row in out}) == 1 else out


def predict_examples(examples: Example | Sequence[Example], model: AnyModel, client: openai.OpenAI | None = None,
                     show_progress_bar: bool | None = None, batch_size: int = 16, **_kwargs: Any) -> str | list[str]:
    """See :func:`capp.classify.predict_examples`."""
    listed = _examples(examples)
    probabilities = predict_proba_examples(listed, model, client, show_progress_bar, batch_size)
    out = [e.completions[int(row.argmax())] for e, row in zip(listed, probabilities)]
    return out[0] if isinstance(examples, Example) else out


def cache_model(model: AnyModel, prefix: str, client: openai.OpenAI | None = None) -> RemoteModel:
    """A model for which every prompt begins with prefix and a space. What is computed once is the server's affair."""
    return _remote(model, client).after(_texts(prefix, "prefix")[0])


@contextmanager
def cache(model: AnyModel, prefix: str, clear_cache_on_exit: bool = True,
          client: openai.OpenAI | None = None) -> Iterator[RemoteModel]:
    """:func:`cache_model` for a context."""
    made = cache_model(model, prefix, client)
    try:
        yield made
    finally:
        made.cleared = clear_cache_on_exit
