"""The name of CAPPr's module for computations on arrays. See :mod:`capp.classify`."""
from capp.utils import classify

__all__ = ["classify"]
