"""A manual page for each command, from docs/capp.1 and the tables of the command.

    python3 tools/manuals.py --list           the names of the pages
    python3 tools/manuals.py FOLDER           writes them

A page has the command's part of docs/capp.1: its synopsis, its description, those of the options that it uses, and the exit
statuses; and the examples of its help. meson.build installs the pages. mandoc sets them without a warning (tests/test_manuals.py).
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def unquoted(literals):
    """The text of C string literals one after the other."""
    written = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals))
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), written)


def commands():
    """name -> (bit, summary)"""
    found = re.findall(r'X\([A-Z]+,\s*(\w+),\s*(\d+),\s*"[^"]*",[\s\\]*("(?:[^"\\]|\\.)*")', text_of("cli/option_table.h"))
    return {name: (int(bit), unquoted(summary)) for name, bit, summary in found}


def options():
    """[(name, bits of the commands that use it)]"""
    text = text_of("cli/option_table.c")
    known = {f"COMMAND_{name.upper()}": bit for name, (bit, _) in commands().items()}
    for name, expression in re.findall(r"(\w+) = ([A-Z_|&~\s]+)[,\n}]", text[text.index("enum {"):text.index("};")]):
        known[name] = bits_of(expression, known)
    rows = re.findall(r"""\{"([a-z0-9-]+)",\s*(?:'.'|0),\s*(?:NULL|"[^"]*"),\s*([A-Z_|&~\s]+),\s*(?:true|false),\s*OPT_""", text)
    return [(name, bits_of(expression, known)) for name, expression in rows]


def bits_of(expression, known):
    """The value of "A | B & ~C"."""
    with_these, *without = expression.split("&")
    bits = 0
    for name in with_these.split("|"):
        bits |= known[name.strip()]
    for name in without:
        bits &= ~known[name.strip().removeprefix("~")]
    return bits


def examples():
    """name -> the lines of its help that are examples"""
    text, names = text_of("cli/help.c"), {name.upper(): name for name in commands()}
    text = text[text.index("} stories[] = {"):text.index("\n};")]
    found = {}
    for name, story in re.findall(r"\{COMMAND_(\w+),((?:\s*\"(?:[^\"\\]|\\.)*\")+)\}", text):
        found[names[name]] = [line.strip() for line in unquoted(story).split("\n") if line.startswith("  ")]
    return found


def section(page, title):
    """The lines of a section, without its title."""
    start = page.index(f".Sh {title}\n") + len(f".Sh {title}\n")
    end = page.find("\n.Sh ", start)
    return page[start:end if end >= 0 else len(page)].strip("\n").split("\n")


def items(lines):
    """[(line of .It, lines below)] of the first list."""
    found, depth = [], 0
    for line in lines:
        if line.startswith(".Bl") and (depth := depth + 1) == 1:
            continue
        if line.startswith(".El") and (depth := depth - 1) == 0:
            return found
        if depth == 1 and line.startswith(".It"):
            found.append((line, []))
        elif depth:
            found[-1][1].append(line)
    return found


def synopsis(page, name):
    blocks = "\n".join(section(page, "SYNOPSIS")).split(".Nm\n")
    return [block.rstrip("\n") for block in blocks if re.match(rf"\.Cm {name}\b", block)]


def elsewhere(lines):
    """The name of the program, and sections that only the main page has."""
    for line in lines:
        title = re.match(r"\.Sx (.+?)( [.,])?$", line)
        if title:
            yield from (f".Dq {title[1]}", "in", f".Xr capp 1{title[2] or ''}")
        else:
            yield ".Nm capp" + line[3:] if re.match(r"\.Nm( [.,])?$", line) else line


def example(line):
    return line.replace("\\", "\\e").replace("-", "\\-")


def make(page, name):
    bit, summary = commands()[name]
    about = dict((line.split()[2], below) for line, below in items(page[page.index(".Ss Commands"):].split("\n")))
    mine = {option for option, bits in options() if bits & bit}
    lines = [page.split("\n")[0], f".Dt CAPP-{name.upper()} 1", ".Os", ".Sh NAME", f".Nm capp-{name}", f".Nd {summary}", ".Sh SYNOPSIS"]
    for block in synopsis(page, name):
        lines += [".Nm capp", block]
    lines += [".Sh DESCRIPTION", *about[name], ".Pp", ".Xr capp 1", "describes input, output files and the environment.",
              ".Sh OPTIONS", ".Bl -tag -width Ds"]
    for line, below in items(section(page, "OPTIONS")):
        long = re.findall(r"Fl -([a-z0-9-]+)", line)
        if mine.intersection(long):
            lines += [line, *below]
    lines += [".El", ".Sh EXIT STATUS", *section(page, "EXIT STATUS"), ".Sh EXAMPLES"]
    lines += [".Bd -literal -offset indent", *map(example, examples()[name]), ".Ed", ".Sh SEE ALSO", ".Xr capp 1"]
    return "\n".join(elsewhere(lines)) + "\n"


def main(folder):
    if folder == "--list":
        print(*(f"capp-{name}.1" for name in commands()))
        return
    page = text_of("docs/capp.1")
    for name in commands():
        (Path(folder) / f"capp-{name}.1").write_text(make(page, name), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
