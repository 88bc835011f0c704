"""The computations of :mod:`capp.classify` under the name that they have in CAPPr."""
from capp._aggregate import agg_log_probs, posterior_prob

__all__ = ["agg_log_probs", "posterior_prob"]
