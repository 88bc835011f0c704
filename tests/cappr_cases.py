"""Calls of CAPPr's functions with random prompts and completions, with every option, and bad calls. They run on CAPPr
and on capp.

A case is {"function", "arguments", "keywords", "cache"}; "cache" is the list of prefixes of cache() around it,
outermost first. Examples are {"Example": keywords}, sets {"set": [...]}. An outcome is nested lists, {"array", "dtype"}
or {"error": name of the built-in type}.
"""
import random

import numpy as np

WORDS = """the a sun rose cat dog sat ran over under grass bank card payment arrived never late because so why how when
PIN 42 2024 transfer cash money lost found red blue Paris café naïve über don't it's (maybe) "quoted" sports cooking
politics joy anger fear optimism 漢字 🙂 well-known e.g. i.e. ... !""".split()
ENDS = ["", ".", "?", ",", ":", "\nAnswer:"]


def words(rng, least, most):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, most)))


def prompts_of(rng, most=7):
    made = [words(rng, 1, 14) + rng.choice(ENDS) for _ in range(rng.randint(1, most))]
    return made[0] if rng.random() < 0.25 else made


def completions_of(rng, single_tokens=False):
    if single_tokens:
        return rng.sample(["the", "a", "cat", "dog", "red", "blue", "so"], rng.randint(2, 5))
    made = [words(rng, 1, 4) for _ in range(rng.randint(2, 6))]
    return made + made[:1] if rng.random() < 0.2 else made


def prior_of(rng, n):
    weights = [rng.random() for _ in range(n)]
    if rng.random() < 0.3:
        weights[rng.randrange(n)] = 0.0
    return [weight / sum(weights) for weight in weights]


def example_of(rng, n=None):
    completions = completions_of(rng)
    completions = (completions * 4)[:n] if n else completions
    made = {"prompt": words(rng, 1, 10), "completions": completions}
    if rng.random() < 0.5:
        made["prior"] = prior_of(rng, len(completions))
    if rng.random() < 0.3:
        made["end_of_prompt"] = ""
    if rng.random() < 0.4:
        made["normalize"] = False
    return {"Example": made}


def shared_options(rng):
    keywords = {}
    if rng.random() < 0.3:
        keywords["end_of_prompt"] = rng.choice(["", " "])
    if rng.random() < 0.3:
        keywords["batch_size"] = rng.randint(1, 4)
    if rng.random() < 0.2:
        keywords["batch_size_completions"] = rng.randint(1, 3)
    keywords["show_progress_bar"] = False
    return keywords


def good_case(rng):
    kind = rng.randrange(8)
    if kind == 0:
        texts = prompts_of(rng)
        keywords = {"show_progress_bar": False}
        keywords.update(rng.choice([{}, {"end_of_prompt": ""}, {"end_of_prompt": "", "add_bos": True},
                                    {"add_bos": True, "batch_size": 3}]))
        return {"function": "token_logprobs", "arguments": [texts], "keywords": keywords}
    if kind in (1, 2):
        function = rng.choice(["log_probs_conditional_examples", "predict_proba_examples", "predict_examples"])
        n = rng.choice([None, rng.randint(2, 4)])
        examples = [example_of(rng, n) for _ in range(rng.randint(1, 5))]
        keywords = {key: value for key, value in shared_options(rng).items() if key != "end_of_prompt"}
        return {"function": function, "arguments": [examples[0] if rng.random() < 0.25 else examples],
                "keywords": keywords}
    completions = completions_of(rng, rng.random() < 0.2)
    keywords = shared_options(rng)
    if kind == 3:
        return {"function": "log_probs_conditional", "arguments": [prompts_of(rng), completions], "keywords": keywords}
    if rng.random() < 0.5:
        keywords["prior"] = prior_of(rng, len(completions))
    if rng.random() < 0.4:
        keywords["discount_completions"] = round(rng.uniform(-1, 1.5), 2)
    function = rng.choice(["predict_proba", "predict_proba", "predict"])
    if function == "predict_proba" and rng.random() < 0.35:
        keywords["normalize"] = False
        if rng.random() < 0.3:
            completions, keywords["prior"] = completions[:1], None
    case = {"function": function, "arguments": [prompts_of(rng), completions], "keywords": keywords}
    if kind == 7 and "discount_completions" not in keywords:  # CAPPr's cached models have no marginals
        case["cache"] = [words(rng, 2, 8)]
        if rng.random() < 0.4:  # its nested prefixes bring their own space
            case["cache"].append(" " + words(rng, 1, 5))
    return case


P, C = ["a b", "c"], ["d", "e f"]
BAD = [
    ("token_logprobs", [[]], {}), ("token_logprobs", [""], {}), ("token_logprobs", [{"set": ["a", "b"]}], {}),
    ("token_logprobs", [P], {"end_of_prompt": "  "}), ("token_logprobs", [P], {"end_of_prompt": 1}),
    ("token_logprobs", [P], {"batch_size": 0}), ("log_probs_conditional", [[], C], {}),
    ("log_probs_conditional", ["", C], {}), ("log_probs_conditional", [P, []], {}),
    ("log_probs_conditional", [P, "abc"], {}), ("log_probs_conditional", [P, ["a", ""]], {}),
    ("log_probs_conditional", [P, ["", ""]], {}), ("log_probs_conditional", [P, {"set": ["a", "b"]}], {}),
    ("log_probs_conditional", [{"set": ["a", "b"]}, C], {}), ("log_probs_conditional", [P, C], {"end_of_prompt": "-"}),
    ("log_probs_conditional_examples", [[]], {}), ("predict_proba", [P, C], {"prior": [0.5, 0.6]}),
    ("predict_proba", [P, C], {"prior": [-0.5, 1.5]}), ("predict_proba", [P, C], {"prior": [0.2, 0.3, 0.5]}),
    ("predict_proba", [P, C], {"prior": [[0.5, 0.5]]}), ("predict_proba", [P, C], {"prior": []}),
    ("predict_proba", [P, C], {"prior": {"set": [0.25, 0.75]}}), ("predict_proba", [P, ["a"]], {}),
    ("predict_proba", [P, "a"], {}), ("predict_proba", [P, "ab"], {}), ("predict_proba", [P, {"set": ["a", "b"]}], {}),
    ("predict_proba", [P, C], {"log_marg_probs_completions": [[None], [None, -1.0]]}),
    ("predict_proba", [[], C], {}), ("predict_proba", ["", C], {}), ("predict", [P, ["a"]], {}),
    ("predict", [P, []], {}), ("predict", [P, "ab"], {}), ("predict", [P, C], {"prior": [1.0, 1.0]}),
    ("predict_examples", [[]], {}), ("predict_proba_examples", [{"set": []}], {}), ("Example", ["", ["a", "b"]], {}),
    ("Example", [1, ["a", "b"]], {}), ("Example", ["p", "ab"], {}), ("Example", ["p", ["a"]], {}),
    ("Example", ["p", ["a"], [1.0]], {"normalize": False, "end_of_prompt": "x"}),
    ("Example", ["p", ["a", "b"], [0.5]], {}), ("Example", ["p", []], {}), ("Example", ["p", ["", "b"]], {}),
    ("Example", ["p", {"set": ["a", "b"]}], {}),
]  # fmt: skip


def cases(seed, n):
    rng = random.Random(seed)
    bad = [{"function": f, "arguments": a, "keywords": dict(k)} for f, a, k in BAD]
    return bad + [good_case(rng) for _ in range(n)]


def revived(value, example):
    if isinstance(value, dict) and "set" in value:
        return set(value["set"])
    if isinstance(value, dict) and "Example" in value:
        return example(**value["Example"])
    if isinstance(value, list) and value and isinstance(value[0], dict) and "Example" in value[0]:
        return [revived(each, example) for each in value]
    return value


def plain(value):
    """An outcome in the form that JSON holds; arrays are marked as arrays."""
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    assert value is None or type(value) in (float, str), type(value)
    return value


def built_in(error):
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins")


def outcome(case, module, example, model):
    """The outcome of the case with the functions of module: capp.classify, or one of CAPPr's modules."""
    try:
        arguments = [revived(argument, example) for argument in case["arguments"]]
        keywords = {key: revived(value, example) for key, value in case["keywords"].items()}
        if case["function"] == "Example":
            return plain(list(example(*arguments, **keywords).completions))
        return plain(call_cached(case.get("cache", []), module, model, case["function"], arguments, keywords))
    except (TypeError, ValueError) as error:
        return {"error": built_in(error)}


def call_cached(prefixes, module, model, function, arguments, keywords):
    if not prefixes:
        return getattr(module, function)(*arguments, model, **keywords)
    with module.cache(model, prefixes[0]) as cached:
        return call_cached(prefixes[1:], module, cached, function, arguments, keywords)


def agree(mine, theirs, tolerance):
    """None, or what differs. Shapes, types and errors must be equal; numbers must be within the tolerance."""
    if isinstance(theirs, dict) and "array" in theirs:
        if not isinstance(mine, dict) or mine.get("dtype") != theirs["dtype"]:
            return f"{mine} is no array of {theirs['dtype']}"
        return agree(mine["array"], theirs["array"], tolerance)
    if isinstance(theirs, list):
        if not isinstance(mine, list) or len(mine) != len(theirs):
            return f"{mine} is not as long as {theirs}"
        return next((wrong for pair in zip(mine, theirs) if (wrong := agree(*pair, tolerance))), None)
    if isinstance(theirs, float) and isinstance(mine, float):
        return None if abs(mine - theirs) <= tolerance else f"{mine} is not {theirs}"
    return None if mine == theirs else f"{mine} is not {theirs}"
