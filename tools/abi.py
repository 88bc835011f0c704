#!/usr/bin/env python3
"""Prints the binary interface of libcapp: what a program that was compiled earlier relies on. One line for each function,
type, enumeration and constant of the public headers, as the compiler sees them, and for each size and offset of a structure
on a 64-bit processor. src/capp.abi has the lines; tests/test_build.py compares.

    tools/abi.py >src/capp.abi     after an addition
"""
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def declarations(compiler, include):
    """The declarations of the headers in include, each in one line, and the constants that they define."""
    headers = sorted(include.glob("*.h"))
    source = "".join(f'#include "{header.name}"\n' for header in headers)
    text = subprocess.run([*compiler, "-E", "-dD", "-DCAPP_API=", f"-I{include}", "-"], input=source, check=True,
                          capture_output=True, text=True).stdout
    ours, kept, constants = False, [], []
    for line in text.splitlines():
        if place := re.match(r'# \d+ "(.*?)"', line):
            ours = Path(place[1]).parent == include
        elif ours and line.startswith("#"):
            if constant := re.match(r"#define (CAPP_(?!VERSION|ARITHMETIC)\w+ .+)", line):
                constants.append(f"constant {constant[1]}")
        elif ours:
            kept.append(line)
    text = re.sub(r"\s+", " ", " ".join(kept))
    parts, depth, begin = [], 0, 0
    for at, c in enumerate(text):
        depth += {"{": 1, "}": -1}.get(c, 0)
        if not depth and c == ";":
            parts.append(text[begin:at + 1].strip())
            begin = at + 1
    return parts + constants


def layout(compiler, include, parts):
    """Sizes of structures and offsets of their fields."""
    lines = []
    for part in parts:
        if found := re.match(r"typedef struct \w+ \{ (.*) \} (\w+);", part):
            lines.append(f'printf("size {found[2]} %zu\\n", sizeof({found[2]}));')
            flat = re.sub(r"\{.*?\}", "", found[1])
            for field in filter(None, (one.strip() for one in flat.split(";"))):
                function = re.match(r".*?\(\*(\w+)\)", field)
                names = [function[1]] if function else [re.search(r"(\w+)(\[.*\])?$", one.strip())[1] for one in field.split(",")]
                lines += [f'printf("offset {found[2]}.{name} %zu\\n", offsetof({found[2]}, {name}));' for name in names]
    program = "#include <stddef.h>\n#include <stdio.h>\n" + "".join(f'#include "{path.name}"\n' for path in sorted(include.glob("*.h")))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "layout.c")
        source.write_text(f"{program}int main(void) {{ {' '.join(lines)} }}\n")
        subprocess.run([*compiler, f"-I{include}", "-o", Path(folder, "layout"), source], check=True)
        return subprocess.run([Path(folder, "layout")], check=True, capture_output=True, text=True).stdout.splitlines()


def interface(include=ROOT / "include"):
    compiler = [*shlex.split(os.environ.get("CC", "cc")), "-std=c17", "-x", "c"]
    parts = declarations(compiler, include)
    version = re.search(r"soversion: '(\d+)'", (ROOT / "meson.build").read_text())[1]
    return sorted({f"soversion {version}", *parts, *layout(compiler, include, parts)})


if __name__ == "__main__":
    print("\n".join(interface()), file=sys.stdout)
