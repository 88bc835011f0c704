"""The functions of :mod:`capp.classify` under the name that they have in CAPPr."""
from capp.classify import (log_probs_conditional, log_probs_conditional_examples, predict, predict_examples,
                           predict_proba, predict_proba_examples, token_logprobs)

__all__ = ["log_probs_conditional", "log_probs_conditional_examples", "predict", "predict_examples", "predict_proba",
           "predict_proba_examples", "token_logprobs"]
