"""From the start of the process to the first decision, with the file in the page cache."""
import base
import engine


def run(bench):
    found = []
    for model in ("smollm2", "gemma3"):
        engine.first_decision(bench, model)  # warms the page cache
        facts = base.alternate(bench, {"capp": lambda model=model: engine.first_decision(bench, model)}, bench.pick(11, 2))
        bench.say(f"first decision, {model}: {base.summary(facts)}")
        found.append({"name": model, "methods": facts})
    return {"points": found}
