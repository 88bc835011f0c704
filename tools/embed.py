"""embed.py OUT.c FOLDER FILE...: writes files of a folder as a C source: the table web_files of server/info.h."""
import sys
from pathlib import Path

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".json": "application/json"}


def main():
    out, folder, *names = sys.argv[1:]
    lines, rows = ['#include "info.h"', ""], []
    for i, name in enumerate(names):
        data = (Path(folder) / name).read_bytes()
        lines.append(f"static const unsigned char file{i}[] = {{")
        lines += ["    " + ", ".join(str(byte) for byte in data[at:at + 24]) + "," for at in range(0, len(data), 24)]
        lines.append("};")
        path = "/" if name == "index.html" else f"/{name}"
        rows.append(f'    {{"{path}", "{TYPES[Path(name).suffix]}", file{i}, sizeof file{i}}},')
    lines += ["", "const web_file web_files[] = {", *rows, "};",
              "const size_t n_web_files = sizeof web_files / sizeof *web_files;", ""]
    Path(out).write_text("\n".join(lines))


main()
