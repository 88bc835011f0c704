"""The name of CAPPr's module for llama-cpp-python. See :mod:`capp.classify`."""
from capp.llama_cpp import _classify_no_cache, classify

__all__ = ["_classify_no_cache", "classify"]
