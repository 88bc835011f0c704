"""Converts the model argument to a model of capp: every kind of model that CAPPr accepts, each opened once."""
from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections import OrderedDict
from typing import Any, Union

from capp.errors import CappError
from capp.model import CachedModel, ChatModel, Model, adapters_of

AnyModel = Union[Model, CachedModel, ChatModel, str, "os.PathLike[str]", "tuple[Any, Any]", Any]

KEPT_FILES = 2  # models opened by path

_lock = threading.Lock()
_files: OrderedDict[tuple[Any, ...], Model] = OrderedDict()
_taken_over: weakref.WeakKeyDictionary[Any, Model] = weakref.WeakKeyDictionary()
# The current prefix of each llama_cpp.Llama. CAPPr stores it in the object itself.
_prefixed: weakref.WeakKeyDictionary[Any, CachedModel] = weakref.WeakKeyDictionary()


def of_file(path: str, **keywords: Any) -> Model:
    """Returns the model of a file, opened with these keywords of Model. Opens it unless it is already open."""
    found = os.stat(path)
    keywords["lora"] = adapters_of(keywords.get("lora"))
    changed = [os.stat(adapter).st_mtime_ns for adapter, _ in keywords["lora"]]
    key = (os.path.realpath(path), found.st_mtime_ns, found.st_size, *sorted(keywords.items()), *changed)
    with _lock:
        model = _files.get(key)
        if model is None or model._handle.closed:
            model = _files[key] = Model(path, **keywords)
        _files.move_to_end(key)
        while len(_files) > KEPT_FILES:
            _files.popitem(last=False)
        return model


def _of_transformers(model: Any, tokenizer: Any) -> Model:
    with _lock:
        taken = _taken_over.get(model)
        if taken is None or taken._handle.closed:
            with tempfile.TemporaryDirectory(prefix="capp-") as folder:
                model.save_pretrained(folder)
                tokenizer.save_pretrained(folder)
                try:
                    taken = Model(folder)
                except CappError as error:
                    raise type(error)(f"cannot open this {type(model).__name__} of transformers: {error}. Convert it to a "
                                      "GGUF file and give its path") from error
            _taken_over[model] = taken
        return taken


def is_llama(model: Any) -> bool:
    """Whether model is a llama_cpp.Llama, or similar."""
    return isinstance(getattr(model, "model_path", None), str)


def prefix_of_llama(model: Any) -> CachedModel | None:
    return _prefixed.get(model) if is_llama(model) else None


def set_prefix_of_llama(model: Any, cached: CachedModel | None) -> None:
    """Does nothing for other kinds of model."""
    if not is_llama(model):
        return
    _prefixed.pop(model, None)
    if cached is not None:
        _prefixed[model] = cached


def reset(model: AnyModel, wanted: bool) -> AnyModel:
    """Implements reset_model of CAPPr's functions for llama.cpp. True: the model without its prefix. False: with it."""
    if wanted:
        set_prefix_of_llama(model, None)
        return model.model if isinstance(model, CachedModel) else model
    return prefix_of_llama(model) or model


def resolve(model: AnyModel) -> Model | CachedModel | ChatModel:
    """Returns the model of capp for a model argument: a Model, CachedModel or ChatModel; a path; a pair (model, tokenizer)
    of transformers, saved to a temporary folder at the first call; a llama_cpp.Llama, opened by its path. For a pair whose
    first element is a model of capp, returns that element."""
    if isinstance(model, (tuple, list)) and len(model) == 2:
        first, second = model
        if hasattr(first, "save_pretrained"):
            return _of_transformers(first, second)
        model = first
    if isinstance(model, (Model, CachedModel, ChatModel)):
        return model
    if isinstance(model, (str, os.PathLike)):
        return of_file(os.fspath(model))
    path = getattr(model, "model_path", None)
    if isinstance(path, str):
        return of_file(path)
    raise TypeError("the model must be a capp.Model, a path, or a pair (model, tokenizer) of transformers, not "
                    f"{type(model).__name__}")
