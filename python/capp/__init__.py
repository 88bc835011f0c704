"""Computes how probable each completion is after a prompt, with a causal language model.

>>> from capp import Example, Model
>>> from capp.classify import predict
>>> predict("Whisk the eggs. This is about", ["cooking", "sport"], model) in ("cooking", "sport")
True
"""
from capp._abi import lib as _lib
from capp._example import Example
from capp.errors import CacheClearedError, CappError
from capp.model import CachedModel, ChatModel, Model, ModelInfo, guard_files

__version__: str = _lib.capp_version().decode()
__all__ = ["CacheClearedError", "CachedModel", "CappError", "ChatModel", "Example", "Model", "ModelInfo", "__version__",
           "guard_files"]
