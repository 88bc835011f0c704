"""Writes src/kernel/codebooks.h: the grids of GGUF's types IQ1 to IQ3, as the gguf package (tests/requirements.txt) packs
them in its quants.py.

    $(tools/venv.sh) tools/make_codebooks.py >src/kernel/codebooks.h
"""
import numpy as np
from gguf import quants

HEAD = """\
/* The codebooks of GGUF's types IQ1 to IQ3 (ggml-common.h, packed as in gguf-py's quants.py): a code of a block is the
 * index of a point, whose numbers stand here as indices of levels, the first one lowest. Eight of two bits, or four of
 * four bits. Written by tools/make_codebooks.py. */
#ifndef CAPP_KERNEL_CODEBOOKS_H
#define CAPP_KERNEL_CODEBOOKS_H

#include <stdint.h>
"""
TYPES = ["IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"]
A_LINE = 14


def points(name):
    """The points of the type, 16 bits each."""
    return np.frombuffer(bytes.fromhex(getattr(quants, name).grid_hex.decode()), "<u2")


def table(name):
    numbers = [f"0x{point:04x}" for point in points(name)]
    lines = [", ".join(numbers[i : i + A_LINE]) for i in range(0, len(numbers), A_LINE)]
    body = ",\n    ".join(lines)
    return f"static const uint16_t {name.lower()}_points[{len(numbers)}] = {{\n    {body}}};\n"


def header():
    return "\n".join([HEAD, *map(table, TYPES), "#endif\n"])


if __name__ == "__main__":
    print(header(), end="")
