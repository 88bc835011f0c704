"""Models: a file opened once, and the sessions that calls on it run in."""
from __future__ import annotations

import ctypes
import json
import operator
import os
import threading
import time
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Sequence, Union

import numpy as np
import numpy.typing as npt

from capp import _abi, _check
from capp._abi import Str, Strings, byref, c_string, lib
from capp._call import Callbacks, Progress, check, interruptible, raise_error
from capp.errors import CacheClearedError

PRECISIONS = ("auto", "f32", "bf16")
KEPT_SESSIONS = 2  # idle ones, with what is hot in them

_TOKENIZE_BOS, _TOKENIZE_SPECIAL = 1, 2


@dataclass(frozen=True)
class ModelInfo:
    """What a model is: see :attr:`Model.info`."""

    architecture: str
    name: str
    isa: str
    precision: str
    threads: int
    vocabulary: int
    context: int
    layers: int
    width: int
    parameters: int
    file_bytes: int
    weight_bytes: int
    whole_weight_bytes: int
    bos: int
    eos: int
    add_bos: bool
    load_seconds: float
    adapters: str


Lora = Union[str, "os.PathLike[str]", Mapping[Any, float], Sequence[Any], None]


def adapters_of(lora: Lora) -> tuple[tuple[str, float], ...]:
    """(path, weight) of each adapter, of what Model takes for them."""
    if lora is None:
        return ()
    if isinstance(lora, (str, os.PathLike)):
        return ((os.fspath(lora), 1.0),)
    wanted = "lora must be a path, a mapping of paths to weights, or a sequence of paths or of (path, weight)"
    try:
        items: list[Any] = list(lora.items()) if isinstance(lora, Mapping) else list(lora)
        pairs = [(item, 1.0) if isinstance(item, (str, os.PathLike)) else tuple(item) for item in items]
    except TypeError:
        raise TypeError(f"{wanted}, not {lora!r}") from None
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{wanted}, not {lora!r}")
    return tuple((os.fspath(path), _check.number(weight, "the weight of an adapter")) for path, weight in pairs)


def _whole(value: Any, name: str, end: int) -> int:
    """A number from 0 to end - 1."""
    try:
        found = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}") from None
    if not 0 <= found < end:
        raise ValueError(f"{name} must be a whole number from 0 to {end - 1}, not {found}")
    return found


def _ids(ids: Any) -> npt.NDArray[np.int32]:
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise TypeError("ids must be a sequence of whole numbers")
    wrong = (array < 0) | (array > 2**31 - 1)
    if wrong.any():
        raise ValueError(f"{array[wrong][0]} is no id of a token")
    return array.astype(np.int32)


def guard_files() -> None:
    """From now on a file of a model that cannot be read (it was cut short, its disk fails) is an :class:`OSError` of the
    call that needs it. Without this the system ends the process by SIGBUS. Installs a handler of SIGBUS in the process; a
    SIGBUS of another cause goes to the handler that was there before."""
    check(lib.capp_guard_files)


class _Handle:
    """An open model of the library with its idle sessions. Freed when closed and the last call has come back."""

    def __init__(self, path: str, options: _abi.ModelOptions) -> None:
        self.lock, self.busy, self.closed, self.process = threading.Lock(), 0, False, os.getpid()
        self.idle: list[int] = []
        pointer, name, cancelled = ctypes.c_void_p(), c_string(path, "the path"), threading.Event()
        options.progress = _abi.ProgressFn(lambda *_: not cancelled.is_set())
        try:
            interruptible(cancelled.set, lambda: check(lib.capp_model_open, byref(pointer), name, byref(options)))
        except BaseException:
            lib.capp_model_free(pointer)  # of an interrupt that came too late to cancel
            raise
        self.model: Any = pointer.value

    def close(self) -> None:
        with self.lock:
            if self.closed:
                return
            self.closed = True
            self._free_if_unused()

    def _free_if_unused(self) -> None:
        if not self.closed or self.busy or self.process != os.getpid():
            return  # a fork has neither the sessions' threads nor the memory to itself
        self._free_sessions(0)
        lib.capp_model_free(self.model)

    def _free_sessions(self, keep: int) -> None:
        while len(self.idle) > keep:
            lib.capp_session_free(self.idle.pop(0))

    @contextmanager
    def in_use(self) -> Iterator[Any]:
        """The library's model, which is not freed before the block has ended."""
        with self.lock:
            if self.closed:
                raise ValueError("the model is closed")
            if self.process != os.getpid():  # a fork: the sessions' threads stayed behind, the weights are here
                self.idle, self.process = [], os.getpid()
            self.busy += 1
        try:
            yield self.model
        finally:
            with self.lock:
                self.busy -= 1
                self._free_sessions(KEPT_SESSIONS)
                self._free_if_unused()

    @contextmanager
    def session(self) -> Iterator[int]:
        """A session for one call: an idle one, or a new one."""
        with self.in_use() as model:
            with self.lock:
                session: Any = self.idle.pop() if self.idle else None
            if session is None:
                pointer = ctypes.c_void_p()
                check(lib.capp_session_open, byref(pointer), model)
                session = pointer.value
            try:
                yield session
            finally:
                with self.lock:
                    self.idle.append(session)


def weights_memory_of(value: Any) -> int:
    """The library's number for what Model takes as weights_memory."""
    if value is None:
        return 0
    if isinstance(value, str):
        if value != "all":
            raise ValueError(f"weights_memory must be a number of bytes, 'all' or None, not {value!r}")
        return 2**64 - 1
    return _whole(value, "weights_memory", 2**63) or 1


def options_of(threads: int = 0, memory: int = 0, precision: str = "auto", isa: str | None = None, context: int = 0,
               weights_memory: int | str | None = None) -> _abi.ModelOptions:
    """Checked options of a model."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    if isa is not None and not isinstance(isa, str):
        raise TypeError(f"isa must be a string, not {type(isa).__name__}")
    options = _abi.ModelOptions()
    lib.capp_model_options_init(byref(options))
    options.threads = _whole(threads, "threads", 2**31)
    options.memory = _whole(memory, "memory", 2**64)
    options.weights_memory = weights_memory_of(weights_memory)
    options.context = _whole(context, "context", 2**32)
    options.precision, options.isa = PRECISIONS.index(precision), c_string(isa, "isa") if isa else None
    return options


class Model:
    """A language model, opened once and used by any number of threads at the same time.

    Parameters
    ----------
    path
        a GGUF file, the first of a split set standing for all; or a folder that transformers has saved model and
        tokenizer in
    threads
        threads of a call; by default as many as the process may run on
    memory
        bytes that a call may take besides the weights; by default a share of what is free
    weights_memory
        bytes for unpacked copies of the weights, which otherwise are unpacked whenever they are used: a number, of which as
        much is used as whole matrices fill; 0 for none; ``"all"``; by default all where they fit a quarter of the memory
        that is free, else none. No result depends on it.
    precision
        ``"f32"``, the reference; ``"bf16"``; or ``"auto"``, the fastest that keeps decisions
    isa
        instruction set of the kernels, by default the best there is
    context
        most tokens of a prompt and a completion together; by default the model's own limit
    parse_special
        whether text such as ``<|im_start|>`` in prompts and completions stands for the special token, as it does with
        transformers. Turn it off for prompts that strangers write.

    Examples
    --------
    >>> from capp import Model
    >>> with Model(model_path) as model:
    ...     model.info.architecture
    'llama'
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 0, memory: int = 0, precision: str = "auto",
                 isa: str | None = None, context: int = 0, parse_special: bool = True, lora: Lora = None,
                 weights_memory: int | str | None = None) -> None:
        options = options_of(threads, memory, precision, isa, context, weights_memory)
        adapters = adapters_of(lora)
        options.lora = (_abi.Lora * len(adapters))(*(_abi.Lora(c_string(path, "the path of an adapter"), weight)
                                                     for path, weight in adapters))
        options.n_lora = len(adapters)
        self.path, self.parse_special = os.fspath(path), parse_special
        self._keywords = {"threads": options.threads, "memory": options.memory, "precision": precision, "isa": isa,
                          "context": options.context, "parse_special": parse_special, "lora": adapters,
                          "weights_memory": weights_memory}
        self._handle = _Handle(self.path, options)
        self._finalizer = weakref.finalize(self, _Handle.close, self._handle)

    def close(self) -> None:
        """Frees the model, when the calls that still run on it have ended. It cannot be used afterwards."""
        self._finalizer()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_error: Any) -> None:
        self.close()

    def __copy__(self) -> Model:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Model:
        """A model does not change: its copy is itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """For other processes: they open it by its path, once."""
        return _opened, (self.path, self._keywords)

    def __repr__(self) -> str:
        given: Any = self._keywords["lora"]
        adapters = f", lora={list(given)}" if given else ""
        return f"capp.Model({self.path!r}{adapters}{', closed' if self._handle.closed else ''})"

    @property
    def info(self) -> ModelInfo:
        """Architecture, size, context and the like."""
        found = _abi.ModelInfo()
        with self._handle.in_use() as model:
            lib.capp_model_get_info(model, byref(found))
            values: dict[str, Any] = {field[0]: getattr(found, field[0]) for field in found._fields_}
            values = {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
        return ModelInfo(**{**values, "precision": PRECISIONS[found.precision]})

    def tokenize(self, text: str, *, bos: bool = False, special: bool | None = None) -> list[int]:
        """Ids of the tokens of text.

        Examples
        --------
        >>> model.detokenize(model.tokenize("the cat"))
        'the cat'
        """
        strings, ids, n = Strings([text]), ctypes.c_void_p(), ctypes.c_size_t()
        flags = _TOKENIZE_BOS * bool(bos) | _TOKENIZE_SPECIAL * bool(self.parse_special if special is None else special)
        with self._handle.in_use() as model:
            check(lib.capp_tokenize, model, strings.first(), flags, byref(ids), byref(n))
        try:
            return _abi.copy_of(ids.value, n.value, np.int32).tolist() if n.value else []
        finally:
            lib.capp_free(ids)

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text that ids stand for; bytes that are no UTF-8 by themselves become U+FFFD."""
        array, text, size = _ids(ids), ctypes.c_void_p(), ctypes.c_size_t()
        with self._handle.in_use() as model:
            check(lib.capp_detokenize, model, array.ctypes.data, len(array), byref(text), byref(size))
        try:
            return ctypes.string_at(text.value or 0, size.value).decode(errors="replace")
        finally:
            lib.capp_free(text)

    def generate(self, prompts: str | Sequence[str], max_tokens: int = 16, *, stop: Sequence[str] = (),
                 ignore_eos: bool = False, show_progress_bar: bool | None = None) -> str | list[str]:
        """The most probable text after each prompt, token by token: the thing that choosing is compared with.

        Examples
        --------
        >>> isinstance(model.generate("the cat", 3), str)
        True
        """
        return generate(self, None, self.parse_special, prompts, max_tokens, stop, ignore_eos, show_progress_bar)

    def chat(self, *, system: str | None = None, messages: Sequence[Mapping[str, str]] = (), template: str | None = None,
             template_name: str | None = None, parse_special: bool = False, **variables: Any) -> ChatModel:
        """This model, to be asked by its chat template: a model for the functions of :mod:`capp.classify` whose prompts
        are a user's turns and whose completions are the assistant's words.

        Text of special tokens in prompts stays text, whatever the model's own ``parse_special``: nobody can end a turn
        by writing ``<|im_end|>``. Nothing stands between prompt and completion: `end_of_prompt` is not looked at.

        Parameters
        ----------
        system
            a system's turn before each prompt
        messages
            turns before each prompt, such as examples: ``[{"role": "user", "content": "2 + 2"}, ...]``
        template
            a template in Jinja instead of the model's own
        template_name
            which of the templates that the model has; by default ``"default"``
        parse_special
            whether text of special tokens in turns and completions stands for the token
        variables
            what else the template looks at, such as ``enable_thinking=False``

        A template that tells the date tells that of this call, for as long as the chat lives and wherever it is sent.

        Examples
        --------
        >>> from capp.classify import predict
        >>> chat = model.chat(template="{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}assistant:")
        >>> chat.render("the cat")
        'user: the cat assistant:'
        >>> predict("the cat", ["sat", "ran"], chat) in ("sat", "ran")
        True
        """
        return ChatModel(self, system=system, messages=messages, template=template, template_name=template_name,
                         parse_special=parse_special, variables=variables, now=int(time.time()))


_unpickled: weakref.WeakValueDictionary[tuple[Any, ...], Model] = weakref.WeakValueDictionary()


def _opened(path: str, keywords: dict[str, Any]) -> Model:
    key = (path, *keywords.values())
    model = _unpickled.get(key)
    if model is None or model._handle.closed:
        model = _unpickled[key] = Model(path, **keywords)
    return model


def run(model: Model, function: Any, arguments: list[Any], callbacks: Callbacks) -> None:
    """Calls a function of the library in a session of the model. arguments: those between session and error."""
    err = _abi.Error()
    with model._handle.session() as session:
        status = interruptible(lambda: lib.capp_session_cancel(session), lambda: function(session, *arguments, byref(err)))
    if callbacks.raised is not None:
        raise callbacks.raised
    if status:
        raise_error(err)


def generate(model: Model, chat: Any, parse_special: bool, prompts: str | Sequence[str], max_tokens: int,
             stop: Sequence[str], ignore_eos: bool, show_progress_bar: bool | None) -> str | list[str]:
    """chat: a capp_chat of the library's, or None."""
    if isinstance(stop, str):
        raise TypeError(f"stop must be a sequence of texts; for one, give [{stop!r}]")
    max_tokens = _whole(max_tokens, "max_tokens", 2**63)
    texts = Strings(_check.texts(prompts, "prompts"))
    ends, callbacks, out = Strings(stop), Callbacks(), []
    options = _abi.GenerateOptions()
    lib.capp_generate_options_init(byref(options))
    options.max_tokens, options.ignore_eos, options.parse_special = max_tokens, ignore_eos, parse_special
    options.chat = chat
    options.stop, options.n_stop = ends.address, len(ends.array)

    def take(result: Any) -> None:
        text = result.contents.text
        out.append(ctypes.string_at(text.data, text.size).decode(errors="replace") if text.size else "")

    with Progress(len(texts.array), show_progress_bar, "generate", callbacks) as progress:
        options.progress = progress.function
        run(model, lib.capp_generate, [texts.address, len(texts.array), byref(options),
                                      _abi.GenerationFn(callbacks.guard(take)), None], callbacks)
    return out[0] if isinstance(prompts, str) else out


class _Prefix:
    """A prefix of the library's, freed with the object."""

    def __init__(self, model: Model, parent: _Prefix | None, text: str) -> None:
        pointer, strings = ctypes.c_void_p(), Strings([text])
        with model._handle.in_use() as opened:
            check(lib.capp_prefix_open, byref(pointer), opened, parent.pointer if parent else None, strings.first(),
                  _TOKENIZE_SPECIAL if model.parse_special else 0)
        self.texts: tuple[str, ...] = (*(parent.texts if parent else ()), text)
        self.pointer: Any = pointer.value
        self.free = weakref.finalize(self, lib.capp_prefix_free, self.pointer)


class CachedModel:
    """A model for which every prompt begins with a prefix and a space: what :func:`capp.classify.cache_model` gives."""

    def __init__(self, parent: Model | CachedModel, prefixes: list[str]) -> None:
        outer = [None] if isinstance(parent, Model) else parent._open_prefixes()
        self.model: Model = parent if isinstance(parent, Model) else parent.model
        n = max(len(outer), len(prefixes))
        if len(outer) not in (1, n) or len(prefixes) not in (1, n):
            raise ValueError(f"could not broadcast {len(outer)} cached prefixes with {len(prefixes)} new ones")
        self._prefixes: list[_Prefix] | None = [_Prefix(self.model, outer[i % len(outer)], prefixes[i % len(prefixes)])
                                                for i in range(n)]

    def _open_prefixes(self) -> list[_Prefix]:
        if self._prefixes is None:
            raise CacheClearedError("this cached model belongs to a context that has ended; open it with "
                                    "clear_cache_on_exit=False, or use cache_model, to keep it")
        return self._prefixes

    def clear(self) -> None:
        """Ends the cached model; it cannot be used afterwards."""
        self._prefixes = None

    def generate(self, *_arguments: Any, **_keywords: Any) -> Any:
        raise TypeError("generation takes no cached prefix; write it into the prompts, and ask the model itself")

    def chat(self, *_arguments: Any, **_keywords: Any) -> Any:
        raise TypeError("a prefix cannot stand before a chat; give the model's chat the system's turn or messages to begin "
                        "with")

    def __copy__(self) -> CachedModel:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> CachedModel:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """For other processes: they open the prefixes again."""
        return _cached_of, (self.model, list(zip(*(prefix.texts for prefix in self._open_prefixes()))))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "model":  # of an object that is only half made
            raise AttributeError(name)
        return getattr(self.model, name)

    def __repr__(self) -> str:
        n = "cleared" if self._prefixes is None else f"{len(self._prefixes)} prefix{'es' * (len(self._prefixes) > 1)}"
        return f"<{self.model!r} with {n}>"


def _cached_of(model: Model, levels: list[tuple[str, ...]]) -> Any:
    cached: Any = model
    for texts in levels:
        cached = CachedModel(cached, list(texts))
    return cached


Turns = Union[str, Sequence[Mapping[str, str]]]


def _checked_turns(turns: Any, name: str) -> list[dict[str, str]]:
    """Copies of the turns of a conversation."""
    if isinstance(turns, (str, bytes, Mapping)) or not hasattr(turns, "__iter__"):
        raise TypeError(f"{name} must be a sequence of turns, such as [{{'role': 'user', 'content': 'Hello'}}], not "
                        f"{type(turns).__name__}")
    out = []
    for i, turn in enumerate(turns):
        if not isinstance(turn, Mapping):
            raise TypeError(f"{name}[{i}] must have a role and a content, as {{'role': 'user', 'content': 'Hello'}}, not be "
                            f"of type {type(turn).__name__}")
        if set(turn) != {"role", "content"}:
            raise ValueError(f"{name}[{i}] must have a role and a content and nothing else, not {', '.join(map(repr, turn))}")
        for key in ("role", "content"):
            if not isinstance(turn[key], str):
                raise TypeError(f"the {key} of {name}[{i}] must be a string, not {type(turn[key]).__name__}")
        out.append({"role": turn["role"], "content": turn["content"]})
    return out


def _conversation(turns: list[dict[str, str]]) -> tuple[Any, Strings]:
    """Messages of the library's, and what they point to."""
    texts = Strings([turn[key] for turn in turns for key in ("role", "content")])
    messages = (_abi.Message * max(len(turns), 1))()
    for i, message in enumerate(messages[: len(turns)]):
        for name, k in (("role", 2 * i), ("content", 2 * i + 1)):
            setattr(message, name, Str(int(texts.array["data"][k]), int(texts.array["size"][k])))
    return messages, texts


def _json(variables: Mapping[str, Any]) -> str:
    try:
        return json.dumps(variables, allow_nan=False) if variables else ""
    except (TypeError, ValueError) as error:
        raise type(error)(f"variables of a chat template must be what JSON knows: {error}") from None


class ChatModel:
    """A model that is asked by its chat template: what :meth:`Model.chat` gives."""

    def __init__(self, model: Model, *, system: str | None, messages: Sequence[Mapping[str, str]], template: str | None,
                 template_name: str | None, parse_special: bool, variables: Mapping[str, Any], now: int) -> None:
        for name, text in {"system": system, "template": template, "template_name": template_name}.items():
            if text is not None and not isinstance(text, str):
                raise TypeError(f"{name} must be a string, not {type(text).__name__}")
        self.model, self.parse_special = model, parse_special
        turns = _checked_turns(messages, "messages")
        self._keywords: dict[str, Any] = {
            "system": system, "messages": turns, "template": template, "template_name": template_name,
            "parse_special": parse_special, "variables": json.loads(_json(variables) or "{}"), "now": now}
        turns = ([] if system is None else [{"role": "system", "content": system}]) + turns
        options, texts = _abi.ChatOptions(), Strings([template or "", _json(variables)])
        lib.capp_chat_options_init(byref(options))
        options.messages, kept = _conversation(turns)
        options.n_messages, options.now = len(turns), now
        options.template_name = None if template_name is None else c_string(template_name, "template_name")
        options.template_text = texts.first() if template is not None else Str(None, 0)
        options.variables = Str(int(texts.array["data"][1]), int(texts.array["size"][1]))
        pointer = ctypes.c_void_p()
        with model._handle.in_use() as opened:
            check(lib.capp_chat_open, byref(pointer), opened, byref(options))
        del kept
        self._pointer: Any = pointer.value
        self._finalizer = weakref.finalize(self, lib.capp_chat_free, self._pointer)

    def render(self, turns: Turns) -> str:
        """The text of a user's turn, or of several turns, behind the system's and up to where the assistant begins."""
        listed = [{"role": "user", "content": turns}] if isinstance(turns, str) else _checked_turns(turns, "turns")
        (messages, _kept), text, size = _conversation(listed), ctypes.c_void_p(), ctypes.c_size_t()
        with self.model._handle.in_use():
            check(lib.capp_chat_render, self._pointer, messages, len(listed), byref(text), byref(size))
        try:
            return ctypes.string_at(text.value or 0, size.value).decode()
        finally:
            lib.capp_free(text)

    def tokenize(self, turns: Turns) -> list[int]:
        """Ids of the same."""
        listed = [{"role": "user", "content": turns}] if isinstance(turns, str) else _checked_turns(turns, "turns")
        (messages, _kept), ids, n = _conversation(listed), ctypes.c_void_p(), ctypes.c_size_t()
        with self.model._handle.in_use():
            check(lib.capp_chat_tokenize, self._pointer, messages, len(listed), _TOKENIZE_SPECIAL * bool(self.parse_special),
                  byref(ids), byref(n))
        try:
            return _abi.copy_of(ids.value, n.value, np.int32).tolist()
        finally:
            lib.capp_free(ids)

    def generate(self, prompts: str | Sequence[str], max_tokens: int = 16, *, stop: Sequence[str] = (),
                 ignore_eos: bool = False, show_progress_bar: bool | None = None) -> str | list[str]:
        """As :meth:`Model.generate`; prompts are a user's turns."""
        return generate(self.model, self._pointer, self.parse_special, prompts, max_tokens, stop, ignore_eos,
                        show_progress_bar)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "model":  # of an object that is only half made
            raise AttributeError(name)
        return getattr(self.model, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _chat_of, (self.model, self._keywords)

    def __repr__(self) -> str:
        return f"<{self.model!r}, by its chat template>"


def _chat_of(model: Model, keywords: dict[str, Any]) -> ChatModel:
    return ChatModel(model, **keywords)
