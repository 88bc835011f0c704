"""Models of 4 to 30 billion parameters whose weights stay in the file, against llama.cpp on the same file: prefill of
512 tokens, COPA and Banking77, time and memory, and the start. Two of them have layers with recurrent states, or side
embeddings. There is one comparison for each class of instruction sets that this machine has and for which a llama.cpp is
built (MORE=1 ../shared/peers/setup.sh)."""
import base
import engine
import flops
import peers
import tasks
from base import Skip

TOKENS = 512
MODELS = {"7b": "../shared/peers/make_big.py", "30b-a3b": "../shared/peers/make_big.py", "qwen35-4b": "bench/make_models.py",
          "gemma4-e4b": "bench/make_models.py"}  # and what makes them
# class -> (llama.cpp's build, capp's instruction set and precision)
CLASSES = {"own": ("build", None, None), "AVX2": ("build-avx2", "avx2", "auto"), "AVX2, f32": ("build-avx2", "avx2", "f32"),
           "AVX2 and AVX-VNNI": ("build-client", "avxvnni", "auto"), "AVX2 and AVX-VNNI, i16": ("build-client", "avxvnni", "i16"),
           "AVX-512": ("build-512", "avx512", "f32"), "AVX-512 VNNI": ("build-512", "avx512vnni", "auto"),
           "AVX-512 VNNI, i16": ("build-512", "avx512vnni", "i16"), "AVX-512 BF16": ("build-512", "avx512bf16", "auto")}
FLAGS = {"COPA": "-np 32 -c 64", "Banking77": "-np 77 -c 16"}
IN_FILE = ("--weights-memory", 0)


def options_of(isa):
    return (*IN_FILE, *(("--isa", isa) if isa else ()))


def text_of(bench, model):
    """A row whose prompt has about TOKENS tokens."""
    words = " ".join(row["prompt"] for row in tasks.copa(bench)).split()
    return {"prompt": " ".join(words[:bench.pick(TOKENS, 32) * 3 // 4]), "completions": ["a", "b"]}


def prefill(bench, model, name, build, isa, precision):
    path = bench.write([text_of(bench, model)])
    tokens = engine.evaluate(bench, model, path, precision, options=options_of(isa))["tokens_computed"]
    facts = base.alternate(bench, {
        "llama-bench": lambda: peers.llama_bench(bench, model, tokens, build),
        "capp": lambda: engine.evaluate(bench, model, path, precision, options=options_of(isa)),
    }, bench.pick(3, 1))
    return {"name": f"prefill {name}", "model": model, "class": name, "tokens": tokens, "need": flops.prefill(bench, model, tokens),
            "methods": base.agree(facts)}


def choices(bench, model, work, rows, name, build, isa, precision):
    path = bench.write(rows)
    facts = base.alternate(bench, {
        "llama-perplexity": lambda: peers.perplexity(bench, model, rows, FLAGS[work].split(), build),
        "capp": lambda: engine.evaluate(bench, model, path, precision, options=options_of(isa)),
    }, 1)
    return {"name": f"{work} {name}", "model": model, "class": name, "rows": len(rows), "need": flops.needed(bench, model, path),
            "methods": base.agree(facts)}


def start(bench, model):
    engine.first_decision(bench, model, IN_FILE)  # warms the page cache
    facts = base.alternate(bench, {"capp": lambda: engine.first_decision(bench, model, IN_FILE)}, bench.pick(3, 1))
    return {"name": "start", "model": model, "methods": facts}


def works(bench, model):
    """(name of a task, function of a class's name, build, instruction set and precision)."""
    yield "prefill", lambda *a: prefill(bench, model, *a)
    if model != "30b-a3b":
        copa = tasks.copa(bench)[:bench.pick(24, 4)]
        yield "COPA", lambda *a: choices(bench, model, "COPA", copa, *a)
    if model == "7b":
        banking = tasks.banking77(bench, bench.pick(10, 1))
        yield "Banking77", lambda *a: choices(bench, model, "Banking77", banking, *a)


def run(bench):
    found = []
    for model, maker in MODELS.items():
        try:
            bench.model(model)
        except Skip as why:
            bench.skip(f"the model {model} ({maker} makes it)", why)
            continue
        for work, measure in works(bench, model):
            for name, (build, isa, precision) in CLASSES.items():
                if not bench.wants(f"{model} {work} {name}"):
                    continue
                try:
                    peers.have(bench, f"llama/{build}/bin/llama-bench", "llama.cpp")
                    point = measure(name, build, isa, precision or bench.precision)
                except Skip as why:
                    bench.skip(f"{work} of {model}, {name}", why)
                    continue
                found.append(point)
                memory = point["methods"].get("capp", {}).get("anonymous_bytes", 0)
                bench.say(f"{work}, {model}, {name}: {base.summary(point['methods'])}; capp holds {memory >> 20} MB of its own")
        if bench.wants(f"{model} start"):
            found.append(start(bench, model))
            bench.say(f"first decision, {model}: {base.summary(found[-1]['methods'])}")
    return {"points": found}
