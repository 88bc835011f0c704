"""The benchmark's counts and claims (bench/): the token tree that it counts is the one that the engine runs, and bars
are compared as written."""
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import base  # noqa: E402
import calibration  # noqa: E402
import flops  # noqa: E402
import machine  # noqa: E402
import peers  # noqa: E402
import results  # noqa: E402

ROWS = [{"prompt": "one two three", "completions": ["a", "a b", "a b c", "d"]},
        {"prompt": "one two four", "completions": ["a b", "e"]}, {"prompt": "one two three", "completions": ["a b", "f g"]}]


@pytest.fixture
def bench(capp, tiny_model, tmp_path):
    folder = Path(tiny_model).parent
    return base.Bench(capp, "none", str(tmp_path / "none"), str(tmp_path), str(folder), str(tmp_path), 1, True, "f32", "float32", 1, str(tmp_path))


def test_the_tree_is_the_engines(bench, tiny_model, capp, tmp_path):
    path, report = bench.write(ROWS), tmp_path / "r.json"
    need = flops.needed(bench, Path(tiny_model).stem, path)
    subprocess.run([capp, "evaluate", "-q", "-m", tiny_model, "--label", "label", "--json", report, path], check=True)
    ran = json.loads(report.read_text())
    assert (need["tokens"], need["head_rows"]) == (ran["tokens_computed"], ran["head_rows"])
    assert need["flops"] > 0


def test_tree_by_hand():
    # 1-2 shared; below it 3 (scored, and computed because its child is scored) and 4 (only scored).
    assert flops.tree([([1, 2], [[3, 5], [4]])]) == {"tokens": 3, "head_rows": 2, "context": 6, "head_context": 5}
    assert flops.tree([([1], [[2]]), ([1], [[2]])]) == {"tokens": 1, "head_rows": 1, "context": 1, "head_context": 1}


def test_flops_of_a_layer():
    shape = flops.Shape(layers=2, width=4, attention=[4, 4], kv=4, vocabulary=10, layer_weights=200)
    whole = 2 * 200 * 3 + 4 * 4 * 2 * 6 + 2 * 10 * 4 * 3
    assert shape.flops(3, 3, 6, 6) == whole
    # For two tokens that only feed keys and values, the last layer computes only those: 100 - 2 * 4 * 4 weights less
    # each.
    assert shape.flops(3, 1, 6, 3) == whole - 2 * 2 * (100 - 32) - 4 * 4 * 3 - 2 * 10 * 4 * 2
    without = flops.Shape(layers=2, width=4, attention=[0, 4], kv=4, vocabulary=10, layer_weights=200)
    assert without.flops(3, 3, 6, 6) == whole - 4 * 4 * 6


def fake(kind, peak):
    facts = {"isa": "unit", "seconds": [1.0]}
    return (SimpleNamespace(kind=kind, dtype="float32", peak=lambda ours, work: peak),
            {"need": {"flops": 5e11}}, {"seconds": [8.0]}, facts)


def test_a_bar_above_three_quarters_of_the_roofline_gives_way():
    machine_, point, theirs, ours = fake("avx2", 1e12)  # the roofline: 0.5 s, 16 times; three quarters of that: 12
    for bar, counts, met in ((10, 10, False), (20, 12, False), (8, 8, True)):
        row = results.judge("x", machine_, "w", point, theirs, ours, bar, 1)
        assert (row["ratio"], row["roof"], row["counts"], row["met"], row["share"]) == (8, 16, counts, met, 0.5)
    row = results.judge("x", fake("avx2", None)[0], "w", point, theirs, ours, 8, 1)
    assert (row["counts"], row["roof"], row["met"]) == (8, None, True)
    assert results.judge("x", machine_, "w", point, theirs, ours, None, 1)["met"] is None


def test_methods_take_turns_and_slow_ones_run_less(bench):
    order, times = [], {"a": 1, "slow": 50, "slower": 120}

    def run(name):
        order.append(name)
        return {"seconds": times[name], "peak_bytes": len(order)}

    found = base.alternate(bench, {name: lambda name=name: run(name) for name in times}, 5)
    assert {name: len(facts["seconds"]) for name, facts in found.items()} == {"a": 5, "slow": 3, "slower": 1}
    assert order[:3] == ["a", "slow", "slower"] and order[3:5] == ["slow", "a"]


def test_a_method_that_cannot_run_is_named(bench):
    def missing():
        raise base.Skip("not here")

    found = base.alternate(bench, {"a": lambda: {"seconds": 1}, "b": missing}, 2)
    assert list(found) == ["a"] and bench.skipped == ["b: not here"]


def test_ratios_go_by_repetition():
    assert results.ratio({"seconds": [2, 8, 3]}, {"seconds": [1, 2, 1]}) == 3
    assert results.ratio({"seconds": [9]}, {"seconds": [1, 3, 4]}) == 3


def test_binary_tasks_of_llama_perplexity():
    data = peers.packed([{"prompt": "ab", "completions": ["c", "de"], "label": 1}])
    assert data == (b"\1\0\0\0" + b"\x08\0\0\0" + b"\2\0\0\0ab" + b"\2\0\0\0" + b"\1\0\0\0c" + b"\2\0\0\0de"
                    + b"\0\0\0\0" + b"\1\0\0\0" + b"\0\0\0\0")


@pytest.mark.parametrize("flags, kind", [({"amx_tile", "amx_bf16", "avx512_bf16"}, "amx"), ({"avx512_bf16"}, "avx512_bf16"),
                                         ({"avx512f", "avx2"}, "avx2")])
def test_column_of_a_machine(flags, kind):
    assert machine.kind(flags) == kind


def test_the_page_is_made_of_files(tmp_path):
    facts = {"seconds": [1.0, 1.2, 1.1], "isa": "avx2", "peak_bytes": 10**9, "tokens_computed": 5}
    need = {"tokens": 5, "head_rows": 2, "flops": 10**11}
    work = {"work": "copa", "date": "2026-01-01", "commit": "c", "peers": {}, "quick": False, "dtype": "float32", "took_seconds": 1,
            "skipped": ["x: no y"], "machine": {"processor": "P", "model": "m", "kind": "avx2", "cores": 2, "memory_bytes": 1 << 34,
                                                "kernel": "6", "threads": 2, "peak_gflops": {"avx2": 200.0}},
            "data": {"points": [{"name": "smollm2", "rows": 500, "need": need, "tried": {},
                                 "methods": {"llama-perplexity": {"seconds": [3.3, 3.6, 3.3]}, "capp": facts}}]}}
    folder = tmp_path / "results" / "p"
    folder.mkdir(parents=True)
    (folder / "copa.json").write_text(json.dumps(work))
    subprocess.run([sys.executable, ROOT / "bench" / "render.py", "--results", tmp_path / "results", "--out", tmp_path,
                    "--no-figures"], check=True)
    page = (tmp_path / "performance.md").read_text()
    assert "| COPA, 500 rows: llama-perplexity | 3.300 | 1.100 | **3.0** | 0.100 | 6.6 | 45 % |" in page
    assert "x: no y" in page


def test_the_page_of_calibration_shows_the_numbers():
    """docs/calibration.md is what bench/calibration.py writes, and its numbers are those of bench/calibration.json."""
    points = json.loads(calibration.NUMBERS.read_text(encoding="utf-8"))
    page = calibration.PAGE.read_text(encoding="utf-8")
    assert page == calibration.page(points), "run python3 bench/calibration.py --only-page"
    assert {(point["task"], point["model"]) for point in points} == {(task, model) for task in calibration.TASKS for model in calibration.MODELS}
    assert all(f"{point['methods']['batch']['log_loss']:.3f}" in page for point in points)
