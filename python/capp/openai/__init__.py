"""The name of CAPPr's module for OpenAI. See :mod:`capp.remote`."""
from capp.openai import classify

__all__ = ["classify"]
