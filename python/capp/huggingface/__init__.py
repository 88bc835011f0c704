"""The name of CAPPr's module for transformers. See :mod:`capp.classify`."""
from capp.huggingface import classify, classify_no_cache

__all__ = ["classify", "classify_no_cache"]
