"""How many decisions of float32 remain the same in bf16 and `auto`: the share of equal decisions, the mean absolute
difference of probabilities, and the share of rows scored again. bench/check_decisions.py
counts more rows, by instruction set."""
import base
import engine
import tasks


def compare(reference, facts):
    pairs = list(zip(reference["rows"], facts["rows"], strict=True))
    both = [(x["probabilities"], y["probabilities"]) for x, y in pairs]
    both = [(x.values(), y.values()) if isinstance(x, dict) else (x, y) for x, y in both]
    differences = [abs(a - b) for x, y in both for a, b in zip(x, y, strict=True)]
    return {"kept": sum(x["index"] == y["index"] for x, y in pairs) / len(pairs),
            "difference": sum(differences) / len(differences), "largest_difference": max(differences),
            "rescored": facts["rows_rescored"] / len(pairs) if "rows_rescored" in facts else None,
            "seconds": facts["seconds"], "accuracy": facts["accuracy"], "precision": facts["precision"]}


def point(bench, model, name, rows):
    task = bench.write(rows)
    reference = engine.evaluate(bench, model, task, "f32", keep_rows=True)
    found = {"f32": compare(reference, reference)}
    for precision in ("auto", "bf16"):
        facts = engine.evaluate(bench, model, task, precision, keep_rows=True)
        if facts["precision"] == precision:
            found[precision] = compare(reference, facts)
    bench.say(f"{name}, {model}: " + ", ".join(f"{p} keeps {100 * x['kept']:.2f} %" for p, x in found.items()))
    return {"name": name, "model": model, "rows": len(rows), "methods": found}


def run(bench):
    works = (("COPA", tasks.copa(bench)[:bench.pick(500, 24)]),
             ("Banking77", tasks.banking77(bench, bench.pick(300, 3))))
    return {"points": [point(bench, model, name, rows) for model in ("smollm2", "gemma3") for name, rows in works]}
