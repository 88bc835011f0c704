"""The functions of :mod:`capp.remote` under the name that they have in CAPPr."""
from capp.remote import (agg_log_probs, cache, cache_model, log_probs_conditional, log_probs_conditional_examples,
                         posterior_prob, predict, predict_examples, predict_proba, predict_proba_examples,
                         token_logprobs)

__all__ = ["agg_log_probs", "cache", "cache_model", "log_probs_conditional", "log_probs_conditional_examples",
           "posterior_prob", "predict", "predict_examples", "predict_proba", "predict_proba_examples", "token_logprobs"]
