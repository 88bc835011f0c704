#!/usr/bin/env python3
"""count_instructions.py [FOLDER]: counts the instructions of the inner loops of AArch64's products in the libraries of FOLDER
(default: build-aarch64), from the disassembly, and prints a table. tests/test_aarch64.py compares it with the bounds below, and
tests/test_tiles.py does the same for the loops of AMX, which are not in the table.

A loop is that of a tile of full size. Where it branches, the shortest path counts that does all multiply-adds of a round."""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = 4 * 16 * 32  # rows, columns and inputs of a round of a product of integers


class Machine:
    """A family of processors: its objdump, and patterns of a jump with its target, of instructions after which the next one does
    not run, of loads and stores, and of the stack."""

    def __init__(self, objdump, jump, end, memory, stack):
        self.objdump, self.jump, self.end, self.memory, self.stack = objdump, jump, end, memory, stack


AARCH64 = Machine("aarch64-linux-gnu-objdump", r"(?:b(?:\.\w+)?|cbn?z \w+,|tbn?z \w+, #\d+,) ([0-9a-f]+)\b", r"(b|br|ret)( |$)",
                  r"ld|st", r"\[sp")
X86_64 = Machine("objdump", r"j\w+ ([0-9a-f]+)\b", r"(jmp|ret)( |$)", r"(?!lea|nop).*\(", r"\(%rsp")


class Kernel:
    """precision, isa and unit (the instruction that multiplies); library and function; done: the multiply-adds of a round of the
    loop; each: those of one instruction (products of integers need one for each of two digits); most: the most instructions
    that a round may have."""

    def __init__(self, precision, isa, unit, library, function, done, each, most, machine=AARCH64):
        self.precision, self.isa, self.unit, self.library, self.function = precision, isa, unit, library, function
        self.done, self.each, self.most, self.machine = done, each, most, machine

    def multiplies(self, line):
        return re.split(r"\W", line)[0] in (self.unit.lower(), self.unit.lower() + "2")


KERNELS = [
    Kernel("f32", "neon", "FMLA", "neon", "packed_6_1", 6 * 16, 4, 38),
    Kernel("i16", "neon", "SMULL", "integers_neon", "tile_4_1_0_0", BLOCK, 4, 1672),
    Kernel("i16", "neondot", "SDOT", "integers_neondot", "tile_4_1_0_0", BLOCK, 8, 489),
    Kernel("i16", "neoni8mm", "SMMLA", "integers_neoni8mm", "tile_4_1_0_0", BLOCK, 16, 440),
    Kernel("bf16", "neonbf16", "BFMMLA", "bfmmla", "tile_3", 6 * 16 * 8, 16, 84),
]

# A tile of sums takes 16 rows by 16 columns by 32 inputs.
TILES = [
    Kernel("bf16", "amx", "TDPBF16PS", "amx", f"accumulate_{name}", dots * 8192, 8192, most, X86_64)
    for name, dots, most in (("half_kept", 2, 15), ("kept", 4, 19), ("half", 2, 15), ("one", 4, 19), ("many", 4, 19))
]


def instructions(path, function, machine):
    """[(address, text)] of the function."""
    dump = [machine.objdump, "-d", "--no-show-raw-insn", f"--disassemble={function}", path]
    text = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    found = [(int(at, 16), re.sub(r"\s+", " ", line)) for at, line in re.findall(r"^ +([0-9a-f]+):\t(.*)$", text, re.M)]
    assert found, f"{path} has no function {function}"
    return found


def blocks_of(lines, machine):
    """(blocks, after): blocks[i] is a list of lines that run one after the other; after[i], the blocks that may follow it. Calls
    return."""
    def target(line):
        found = re.match(machine.jump, line)
        return int(found[1], 16) if found else None

    starts = {lines[0][0]} | {target(line) for _, line in lines}
    starts |= {at for (_, line), (at, _) in zip(lines, lines[1:]) if target(line) or re.match(machine.end, line)}
    index, blocks, after = {}, [], []
    for at, line in lines:
        if at in starts:
            index[at] = len(blocks)
            blocks.append([])
        blocks[-1].append(line)
    for n, block in enumerate(blocks):
        to = index.get(target(block[-1]))
        falls = not re.match(machine.end, block[-1]) and n + 1 < len(blocks)
        after.append([n + 1] * falls + ([] if to is None else [to]))
    return blocks, after


def loops(after):
    """(first, last, blocks) for each jump from the last block of a loop to its first."""
    before = [[n for n, following in enumerate(after) if m in following] for m in range(len(after))]
    for last, following in enumerate(after):
        for first in following:
            body, waiting = {first, last}, [last] * (first != last)
            while waiting and 0 not in body:
                new = [n for n in before[waiting.pop()] if n not in body]
                body.update(new)
                waiting += new
            if 0 not in body and (first == last or last in reached(after, first)):
                yield first, last, body


def reached(after, first):
    found, waiting = {first}, [first]
    while waiting:
        new = [n for n in after[waiting.pop()] if n not in found]
        found.update(new)
        waiting += new
    return found


def paths(blocks, after, first, last, body, multiplies):
    """{number of products: the shortest path with that many} of the ways from the first block of a loop to the last. Loops
    within it are passed through once."""
    known, open_blocks = {}, set()

    def visit(n):
        if n not in known:
            open_blocks.add(n)
            ways = {0: []} if n == last else {}
            for m in after[n] if n != last else []:
                if m in body and m not in open_blocks:
                    for products, path in visit(m).items():
                        if products not in ways or len(path) < len(ways[products]):
                            ways[products] = path
            own = sum(map(multiplies, blocks[n]))
            open_blocks.discard(n)
            known[n] = {own + products: blocks[n] + path for products, path in ways.items()}
        return known[n]

    return visit(first)


def round_of(folder, kernel):
    """The instructions of a round of the inner loop: of all loops, the shortest path that does all products."""
    path = Path(folder) / f"libkernel_{kernel.library}.a"
    blocks, after = blocks_of(instructions(path, kernel.function, kernel.machine), kernel.machine)
    found = [path for loop in loops(after) for products, path in paths(blocks, after, *loop, kernel.multiplies).items()
             if products >= kernel.done // kernel.each]
    assert found, f"no loop of {kernel.function} has {kernel.done // kernel.each} {kernel.unit}"
    return min(found, key=len)


def count(folder, kernel):
    """Numbers of instructions: all of a round, those that multiply, the fewest that the unit needs; loads and stores, and how
    many of these use the stack."""
    path = round_of(folder, kernel)
    return {"all": len(path), "multiply": sum(map(kernel.multiplies, path)), "fewest": kernel.done // kernel.each,
            "memory": sum(bool(re.match(kernel.machine.memory, line)) for line in path),
            "stack": sum(bool(re.search(kernel.machine.stack, line)) for line in path)}


def table(folder):
    """The table of docs/performance.md."""
    lines = ["| precision | `--isa` | instruction that multiplies | multiply-adds of a round | instructions | of them multiply | "
             "for each multiply-add | at least |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for kernel in KERNELS:
        n = count(folder, kernel)
        lines.append(f"| {kernel.precision} | {kernel.isa} | {kernel.unit} | {kernel.done:,} | {n['all']:,} | {n['multiply']} | "
                     f"{n['all'] / kernel.done:.3f} | {1 / kernel.each:.3f} |")
    return "\n".join(lines)


def main():
    print(table(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build-aarch64"))


if __name__ == "__main__":
    main()
