"""Computes how probable each completion is after a prompt, with a causal language model.

>>> from capp import Example, Model
>>> from capp.classify import predict
>>> predict("Whisk the eggs. This is about", ["cooking", "sport"], model) in ("cooking", "sport")
True
"""
from __future__ import annotations

import importlib
from types import ModuleType

from capp._abi import lib as _lib
from capp._example import Example
from capp.errors import CacheClearedError, CappError
from capp.model import CachedModel, ChatModel, Model, ModelInfo, guard_files

__version__: str = _lib.capp_version().decode()
__all__ = ["CacheClearedError", "CachedModel", "CappError", "ChatModel", "Example", "Model", "ModelInfo", "__version__",
           "guard_files"]

_CAPPRS_MODULES = ("huggingface", "llama_cpp", "openai", "utils")


def __getattr__(name: str) -> ModuleType:
    """Imports the modules with CAPPr's names at their first use, as `import cappr` does."""
    if name not in _CAPPRS_MODULES:
        raise AttributeError(f"module 'capp' has no attribute {name!r}")
    return importlib.import_module(f"capp.{name}")
