"""capp's time, tokens and memory by the number of classes (2 to 1,000) and by the number of rows (100 to 10,000)."""
import base
import engine
import tasks

MODEL = "smollm2"
BUDGET = 512 << 20  # the same for every point: memory should stay constant


def point(bench, rows, **at):
    facts = base.alternate(bench, {"capp": lambda: engine.evaluate(bench, MODEL, bench.write(rows), memory=BUDGET)}, at.pop("reps"))
    for each in facts.values():
        each.pop("predictions")
    bench.say(f"{at}: {base.summary(facts)}, {facts['capp']['tokens_computed']} tokens")
    return {**at, "methods": facts}


def classes(bench):
    for n in bench.pick((2, 5, 10, 20, 50, 100, 200, 500, 990), (2, 20)):
        rows = [{**row, "completions": tasks.choices(bench, n)} for row in tasks.questions(bench, 16)]
        yield point(bench, rows, against="classes", n=n, reps=bench.pick(3, 1))


def rows(bench):
    completions = tasks.banking_classes(bench)[:4]
    for n in bench.pick((100, 300, 1000, 3000, 10000), (100, 300)):
        each = [{**row, "completions": completions} for row in tasks.questions(bench, n)]
        yield point(bench, each, against="rows", n=n, reps=bench.pick(3 if n <= 1000 else 1, 1))


def run(bench):
    return {"budget": BUDGET, "points": [*classes(bench), *rows(bench)]}
