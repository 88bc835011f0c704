#!/usr/bin/env python3
"""Writes docs/performance.md and its figures from the results that bench/run.py left: nothing is measured here.

usage: render.py [--results FOLDER] [--out FOLDER] [--no-figures]
Figures need matplotlib (bench/requirements.txt; `make performance` brings it).
"""
import argparse
import os
import pathlib
import re

import results as stored
from results import KINDS, median

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = {"smollm2": "SmolLM2 Q4_1", "smollm2-Q8_0": "SmolLM2 Q8_0", "gemma3": "Gemma 3 Q4_K_M",
         "gpt2-random-hf": "GPT-2, folder", "smollm2-hf": "SmolLM2, folder", "gemma3-hf": "Gemma 3, folder"}

HEAD = """# Performance

capp beside its peers, each figure from one run of `make bench` in which the methods took turns. This page is written by
`make performance` from the files in bench/results; the numbers are those of the machines named here and of no other.

How it is measured:

- Seconds are those of scoring, with the model loaded, median of the runs; the same rows, the same classes, {threads} threads
  each. Slow methods are run less often: three times above 40 s, once above 100 s. The column `runs` says how many times.
- A ratio is the peer's time by capp's, repetition by repetition where both have as many, else median by median.
- capp runs with `--precision auto`, its default, unless a column says otherwise: rows that it scores a second time in float32
  are inside its times.
- *FLOPs needed* are counted from the model's shape and an independent count of the tree of tokens (bench/flops.py): each shared
  beginning once, the head for those contexts only whose next token is asked for, no padding. *The roofline* is the time they
  take at the measured peak of the unit in use on all cores at once; *share* is that time by capp's.
- Where a bar lies above 75 % of the roofline, those 75 % take its place.
- Peak memory is resident memory of the whole process, libraries and weights in it. In the figure capp is given the budget
  (`--memory`) that holds it to CAPPr's peak at the same point.
"""


def seconds(value):
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def times(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def percent(value, digits=0):
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def gigabytes(value):
    return f"{value / 1e9:.2f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def shown(name, dtype=""):
    """A method's name for readers."""
    name = re.sub(r"^generate (\d) (\w+)$", r"transformers generates \1, \2", name)
    name = re.sub(r"^generate (\d)$", r"transformers generates \1", name)
    return re.sub(r"^capp generate (\d)$", r"capp generates \1", name)


def method_rows(point, keys=("same_as_capp", "accuracy")):
    """A row for each method of a point: seconds, runs, ratio to capp, memory, and what else is known of it."""
    ours = point["methods"].get("capp")
    for name, facts in point["methods"].items():
        flags = f" `{facts['flags']}`" if facts.get("flags") else f", {facts['slots']} slots" if facts.get("slots") else ""
        yield [shown(name) + flags, seconds(median(facts)), len(facts["seconds"]),
               times(stored.ratio(facts, ours)) if ours and name != "capp" else "",
               gigabytes(facts["peak_bytes"]) if "peak_bytes" in facts else "–",
               *[percent(facts[key], 1) if facts.get(key) is not None else "" for key in keys]]


def roofline(results, work, point):
    """One sentence on what the work needs and how much of the roofline capp reaches."""
    ours, need = point["methods"].get("capp"), point["need"]
    if not ours:
        return ""
    text = f"Needed: {need['tokens']:,} tokens, {need['head_rows']:,} rows of the head, {need['flops'] / 1e12:.3f} TFLOP"
    if "tokens_computed" in ours:
        text += f" (capp ran {ours['tokens_computed']:,} tokens)"
    peak = results.peak(ours, work)
    if peak:
        best = need["flops"] / peak
        text += f"; {best:.3f} s at the peak of {ours['isa']}, of which capp reaches {percent(best / median(ours))}"
    return text + ".\n"


# ---- Sections --------------------------------------------------------------------------------------------------------


def machine(results):
    facts = results.machine
    yield f"{facts['processor']} ({facts['model']}), {facts['cores']} cores used by {facts['threads']} threads, " \
          f"{facts['memory_bytes'] / 2**30:.0f} GiB, Linux {facts['kernel']}; bars of the column *{KINDS[results.kind]}*.\n"
    if facts["peak_gflops"]:
        yield table(("unit", "measured peak, all cores, GFLOP/s"),
                    [(name, f"{rate:.0f}") for name, rate in facts["peak_gflops"].items()])
    yield "Peers: " + ", ".join(f"{name} {version}" for name, version in results.peers.items()) + ".\n" if results.peers else \
          "No peers were installed.\n"
    yield table(("piece of work", "date", "commit", "took"),
                [(f"`{name}`" + (" (quick)" if work["quick"] else ""), work["date"], work["commit"], f"{work['took_seconds']} s")
                 for name, work in results.works.items()])
    older = [f"{point['name']} {point['n']} ({point['commit']})" for point in results.points("figure")
             if point.get("commit", results.works["figure"]["commit"]) != results.works["figure"]["commit"]]
    if older:
        yield "Points of the figure that are of another commit: " + ", ".join(older) + ".\n"


def bars(results):
    rows = list(stored.ratios(results))
    if rows:
        yield table(("work, peer", "peer, s", "capp, s", "times", "bar", "TFLOP needed", "roofline, times", "bar that counts", "met",
                     "share of roofline"),
                    [(row["label"], seconds(row["theirs"]), seconds(row["ours"]), f"**{times(row['ratio'])}**",
                      "–" if row["bar"] is None else f"{row['bar']:g}", f"{row['flops'] / 1e12:.3f}",
                      "–" if row["roof"] is None else times(row["roof"]),
                      "–" if row["counts"] is None else times(row["counts"]) + (
                          " (75 % of the roofline)" if row["counts"] < row["bar"] else ""),
                      {None: "–", True: "yes", False: "**no**"}[row["met"]], percent(row["share"])) for row in rows])
    rows = list(stored.demands(results))
    if rows:
        yield table(("what else is asked", "measured", "bar", "met"),
                    [(what, measured, bar, "yes" if met else "**no**") for what, measured, bar, met in rows])


def figure(results):
    points = results.points("figure")
    if not points:
        return
    yield "48 COPA prompts, batches of 16 (a batch size is CAPPr's; capp has none), GPT-2 small's shape with random weights, as " \
          "in CAPPr's figure of its run time. *Distinct*: n different choices, the item's own and those of the items that " \
          "follow. *Repeated*: the item's two choices n/2 times, as CAPPr's figure has them; capp, which computes equal " \
          "beginnings once, wins that form for nothing. Text is generated from the prompt with the choices listed.\n"
    for series in dict.fromkeys(point["name"] for point in points):
        each = [point for point in points if point["name"] == series]
        names = list(dict.fromkeys(name for point in each for name in point["methods"]))
        rows = []
        for point in each:
            methods, ours = point["methods"], point["methods"].get("capp")
            cached = next((facts for name, facts in methods.items() if name.startswith("CAPPr cached")), None)
            peak = results.peak(ours, "figure") if ours else None
            rows.append([point["n"], *[f"{seconds(median(methods[name]))} ({len(methods[name]['seconds'])})" if name in methods
                                       else "–" for name in names],
                         times(stored.ratio(cached, ours)) if cached and ours else "–",
                         f"{point['need']['flops'] / 1e12:.3f}",
                         percent(point["need"]["flops"] / peak / median(ours)) if peak else "–"])
        yield f"**{series.replace(' ', ', peers in ')}**: seconds (runs).\n"
        yield table(("classes", *map(shown, names), "CAPPr cached / capp", "TFLOP needed", "capp's share of the roofline"), rows)
        yield "Peak memory, GB:\n"
        yield table(("classes", *map(shown, names)),
                    [[point["n"], *[gigabytes(point["methods"][name]["peak_bytes"]) if name in point["methods"] else "–"
                                    for name in names]] for point in each])
    same = [facts["same_as_capp"] for point in points for facts in point["methods"].values() if "same_as_capp" in facts]
    if same:
        yield f"Decisions of CAPPr that are capp's too: {percent(min(same), 1)} at the least of these points. (With random " \
              "weights classes lie close together.)\n"
    yield from accuracy(results)


def accuracy(results):
    found = results.works["figure"]["data"].get("accuracy", [])
    if not found:
        return
    names = list(dict.fromkeys(name for each in found for name in each["accuracy"]))
    yield f"The same task with SmolLM2's weights ({found[0]['rows']} items, distinct classes, peers in {found[0]['dtype']}): share " \
          "of right answers, and in brackets of answers that could be read at all. A generated text's answer is its first " \
          "number.\n"
    yield table(("classes", *map(shown, names)),
                [[each["n"], *[f"{percent(each['accuracy'][name], 1)} ({percent(each['named'][name])})"
                               if name in each["accuracy"] else "–" for name in names]] for each in found])


def tried(point):
    if point.get("tried"):
        return "Tried first on a part of the work: " + ", ".join(f"`{flags}` {s:.2f} s" for flags, s in point["tried"].items()) + ".\n"
    return ""


def comparisons(results, work, title):
    for point in results.points(work):
        yield f"**{title(point)}**\n"
        yield table(("method", "seconds", "runs", "times capp's", "peak memory, GB", "same decisions as capp", "accuracy"),
                    method_rows(point))
        yield roofline(results, work, point) + tried(point)


def banking77(results):
    if results.points("banking77"):
        yield "SmolLM2 Q4_1, 77 classes, prompt `Question: {text}\\nTopic:`. *Listed*: a list of the classes stands in a prefix that " \
              "all texts share and the peer keeps in its cache; *after*: it follows the text, so that no two rows share it. " \
              "llama-perplexity knows the right answer only as a rate; llama-server generates up to 12 tokens, right where " \
              "they are the class's name exactly.\n"
    forms = {"plain": "plain", "listed": "classes listed in a prefix", "after": "classes listed after the text"}
    yield from comparisons(results, "banking77", lambda point: f"{forms[point['form']].capitalize()}, {point['texts']} "
                           f"text{'s' if point['texts'] > 1 else ''}: {point['name']}")


def copa(results):
    yield from comparisons(results, "copa", lambda point: f"{NAMES[point['name']]}, {point['rows']} rows of two choices")


def prefill(results):
    rows = []
    for point in results.points("prefill"):
        methods, ours = point["methods"], point["methods"]["capp"]
        peak = results.peak(ours, "prefill")
        rows += [[NAMES[point["name"]], shown(name), f"{facts['tokens'] / median(facts):,.0f}", len(facts["seconds"]),
                  times(stored.ratio(facts, ours)) if name != "capp" else "",
                  percent(point["need"]["flops"] / peak / median(facts)) if peak and name == "capp" else ""]
                 for name, facts in methods.items()]
    if rows:
        yield "One text of 512 tokens, keys and values kept, one row of logits.\n"
        yield table(("file", "method", "tokens a second", "runs", "capp is faster, times", "share of the roofline"), rows)


def start(results):
    def cell(point, method):
        return seconds(median(point["methods"][method])) if method in point["methods"] else ""

    rows = []
    for point in results.points("start"):
        size = point["methods"].get("reading", {}).get("bytes")
        rows.append((NAMES[point["name"]], f"{size / 1e6:,.0f} MB" if size else "",
                     *(cell(point, method) for method in ("capp", "capp, from the disk", "reading")),
                     len(point["methods"]["capp"]["seconds"])))
    if rows:
        yield ("From the start of the process to the first decision on standard output, in seconds: with the model in the "
               "page cache, and with nothing of it there, beside reading the same files from the disk and doing nothing "
               "with them. Folders are float32, packed as bfloat16 while they are read.\n")
        yield table(("model", "files", "cached", "from the disk", "reading alone", "runs"), rows)


def decisions(results):
    rows = [(point["name"], NAMES[point["model"]], point["rows"], name, percent(facts["kept"], 2), f"{facts['difference']:.5f}",
             f"{facts['largest_difference']:.4f}", percent(facts["rescored"], 1), percent(facts["accuracy"], 1), seconds(facts["seconds"]))
            for point in results.points("decisions") for name, facts in point["methods"].items()]
    if rows:
        yield "Each precision against float32 on the same rows. *Again*: rows whose leaders were so close that `auto` scored those " \
              "again in float32; that cost is inside its seconds (one run).\n"
        yield table(("work", "model", "rows", "precision", "decisions kept", "mean difference of probability", "largest", "again",
                     "accuracy", "seconds"), rows)


def early(results):
    rows = [(f"{point['n']:,} {point['name']}", point["aggregate"], point["rows"], percent(point["saved"], 1),
             percent(point["same"], 1), *[seconds(median(point["methods"][name])) for name in ("full", "only prediction")])
            for point in results.points("early")]
    if rows:
        yield "`--only-prediction` leaves classes unfinished that can no longer win. Lists by tools/make_classes.py.\n"
        yield table(("classes", "score", "texts", "completion tokens saved", "same decisions", "full, s", "only prediction, s"), rows)


def scaling(results):
    for against in ("classes", "rows"):
        points = results.points("scaling", against=against)
        if points:
            budget = results.works["scaling"]["data"]["budget"]
            yield f"Against {against}, SmolLM2, a budget of {budget >> 20} MiB beside the weights" + (
                ", 16 texts:\n" if against == "classes" else ", 4 classes:\n")
            yield table((against, "seconds", "runs", "tokens run", "rows of the head", "ms a token", "peak memory, GB"),
                        [(f"{point['n']:,}", seconds(median(facts)), len(facts["seconds"]), f"{facts['tokens_computed']:,}",
                          f"{facts['head_rows']:,}", f"{1000 * median(facts) / facts['tokens_computed']:.3f}",
                          gigabytes(facts["peak_bytes"])) for point in points for facts in [point["methods"]["capp"]]])


def tokenizing(results):
    names = {"gpt2": "GPT-2", "llama2": "Llama 2", "llama3": "Llama 3", "qwen3": "Qwen 3"}
    points = results.points("tokenizing")
    rows = [(names[point["name"]], f"{point['count']:,} {point['texts']}", shown(name), f"{1000 * median(facts):.1f}",
             len(facts["seconds"]), f"{point['bytes'] / median(facts) / 1e6:.1f}",
             times(stored.ratio(facts, point["methods"]["capp"])) if name != "capp" else "")
            for point in points for name, facts in point["methods"].items()]
    if rows:
        yield "One thread each, tokenizer.json as published, the ids " + \
              ("the same" if all(point["same_ids"] for point in points) else "**not the same**") + \
              ". *Short*: Banking77's texts; *long*: 300 of them to a text.\n"
        yield table(("tokenizer", "texts", "method", "milliseconds", "runs", "MB a second", "times capp's"), rows)
        yield table(("tokenizer", "capp opens it in, s", "tokenizers in, s"),
                    [(names[point["name"]], *[seconds(point["opening"][name]) for name in ("capp", "tokenizers")])
                     for point in points if point["texts"] == "short"])


def kernels(results):
    data = results.works.get("kernels", {}).get("data", {})
    rows = [(each["model"], each["isa"], seconds(each["processor_seconds"]), percent(each["share_of_time"]),
             percent(each["share_of_peak"])) for each in data.get("inside", [])]
    if rows:
        yield "Matrix products inside the engine: processor time that perf finds in them, and their FLOPs by it.\n"
        yield table(("work", "unit", "processor seconds", "share of the run", "share of the unit's peak"), rows)
    rows = [(f"`{each['isa']}`", each["shape"].removesuffix(" 0"), f"{each['gflops']:.0f}", percent(each["share"]))
            for each in data.get("micro", []) if each["op"] == "matmul" and not each["isa"].startswith("ref")]
    if rows:
        yield "The kernels by themselves, one core (rows, K, N): `bench_kernels`.\n"
        yield table(("unit", "shape", "GFLOP/s", "share of the peak"), rows)


SECTIONS = (("The machine", machine, None), ("The bars", bars, "ratios"), ("The seed's figure", figure, "classes"),
            ("Banking77", banking77, None), ("COPA", copa, None), ("Prefill", prefill, None), ("Start", start, None),
            ("Decisions kept", decisions, None), ("Deciding without finishing", early, None),
            ("Time against classes and rows", scaling, "scaling"), ("Tokenizing", tokenizing, None), ("Kernels", kernels, None))


def page(machines, drawn):
    """drawn: {(machine, figure): its file beside the page}."""
    parts = [HEAD.format(threads=" or ".join(sorted({str(each.machine["threads"]) for each in machines})))]
    for results in machines:
        if len(machines) > 1:
            parts.append(f"# {results.machine['processor']}, {KINDS[results.kind]}\n")
        for title, section, picture in SECTIONS:
            text = list(section(results))
            if not text:
                continue
            parts.append(f"## {title}\n")
            if (results.name, picture) in drawn:
                parts.append(f"![{title}]({drawn[results.name, picture]})\n")
            parts += text
        skipped = [f"- {each}" for work in results.works.values() for each in work["skipped"]]
        if skipped:
            parts += ["## Skipped\n", "\n".join(dict.fromkeys(skipped)) + "\n"]
    return "\n".join(part for part in parts if part)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default=f"{HERE}/results")
    parser.add_argument("--out", default=f"{HERE}/../docs")
    parser.add_argument("--no-figures", action="store_true")
    o = parser.parse_args()
    machines = stored.load(o.results) if os.path.isdir(o.results) else []
    if not machines:
        raise SystemExit(f"render.py: no results in {o.results}; `make bench` makes them")
    drawn = {}
    if not o.no_figures:
        import plots
        drawn = {(each.name, what): name for each in machines for what, name in plots.draw(each, pathlib.Path(o.out))}
    path = pathlib.Path(o.out) / "performance.md"
    path.write_text(page(machines, drawn), encoding="utf-8")
    print("\n".join(map(str, [path, *drawn.values()])))


if __name__ == "__main__":
    main()
