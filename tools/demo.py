#!/usr/bin/env python3
"""Shows capp at work: demo.py CAPP MODEL. Runs `capp evaluate` on the bundled sample of COPA and draws its output,
row by row as the rows arrive."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SAMPLE = Path(__file__).resolve().parent.parent / "examples" / "data" / "copa.jsonl"
BAR = 24


def painter():
    """Functions that color text on a terminal, and symbols that the output can show."""
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def paint(code):
        return lambda text: f"\033[{code}m{text}\033[0m" if color else text

    try:
        "█░✓✗".encode(sys.stdout.encoding or "ascii")
        marks = "█░✓✗"
    except (UnicodeEncodeError, LookupError):
        marks = "#.+x"
    return {"bold": paint(1), "dim": paint(2), "good": paint(32), "bad": paint(31)}, marks


def shorten(text, width):
    return text if len(text) <= width else text[: width - 3] + "..."


def draw_row(row, source, style, marks, width):
    full, empty, right, wrong = marks
    print(style["bold"](shorten(source["prompt"] + " ...", width)))
    for i, (completion, probability) in enumerate(zip(source["completions"], row["probabilities"])):
        chosen, label = i == row["index"], i == source["label"]
        filled = round(BAR * probability)
        bar = full * filled + empty * (BAR - filled)
        mark = (style["good"](right) if label else style["bad"](wrong)) if chosen else " "
        line = f"{bar} {100 * probability:3.0f} %  {shorten(completion, width - BAR - 14)}"
        print(f"  {mark} {line if chosen else style['dim'](line)}")
    print(flush=True)


def main():
    capp, model = sys.argv[1:]
    style, marks = painter()
    width = max(60, min(shutil.get_terminal_size((110, 24)).columns, 120))
    sources = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    print(f"SmolLM2 135M reads {len(sources)} items of COPA (Choice of Plausible Alternatives) and chooses the more "
          f"plausible ending.\n{marks[2]} its choice is the right one; {marks[3]} it is not.\n", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        report_path = Path(folder) / "report.json"
        command = [capp, "evaluate", "-m", model, "--label", "label", "--json", str(report_path), "-o", "-", "--quiet", str(SAMPLE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
            for line, source in zip(process.stdout, sources):
                draw_row(json.loads(line), source, style, marks, width)
        if process.returncode:
            return process.returncode
        report = json.loads(report_path.read_text())

    print(style["bold"](f"Accuracy {100 * report['accuracy']:.1f} %: {report['correct']} of {report['n']} right."))
    print(f"Scored in {report['seconds']:.2f} s, {report['n'] / report['seconds']:.0f} rows a second, after "
          f"{report['load_seconds']:.2f} s to load the model.")
    print(f"{report['tokens_computed']} tokens were computed; shared beginnings saved {report['tokens_saved']}.")
    print("\nNow your own text:\n\n  echo 'My card has not come yet' | "
          f"{os.path.relpath(capp)} classify -m {model} -c 'delivery,refund,lost card'")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
