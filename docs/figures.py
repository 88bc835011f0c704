"""Draws the figures of how-it-works.md: figures.py [FOLDER] writes docs/figure-tree.svg and its neighbors.

All are of one example, two prompts and three classes as SmolLM2's tokenizer cuts them, and every number in them is
counted here, from that example: tests/test_site.py compares them with what the library counts. Colors follow the
reader's scheme.
"""
import sys
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

PROMPTS = [["Question", ":", " My", " PIN", " is", " lost", "\n", "Topic", ":"],
           ["Question", ":", " My", " card", " is", " late", "\n", "Topic", ":"]]
COMPLETIONS = [[" PIN"], [" card", " delivery"], [" card", " refund"]]
IDS = {" card": 3421, " delivery": 7037, " refund": 37393, " PIN": 45609}
WAVE = 8  # rows, in the figures
TILE = 512  # CAPP_HEAD_TILE

STYLE = """<style>
 svg { --ink: #24292f; --soft: #6a737d; --faint: #d0d7de; --blue: #2f7fd6; --blue-fill: #dcebfa; --orange: #c96a10;
       --orange-fill: #fbe6d0; --green: #23874f; --green-fill: #d8f0e2; }
 @media (prefers-color-scheme: dark) { svg { --ink: #d6dde5; --soft: #98a2ad; --faint: #3a424c; --blue: #6cabee;
       --blue-fill: #1c3550; --orange: #eda35a; --orange-fill: #4b3115; --green: #63c490; --green-fill: #17402a; } }
 text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
 .soft { fill: var(--soft); } .bold { font-weight: 600; } .small { font-size: 11.5px; }
 .token { font: 11.5px ui-monospace, "DejaVu Sans Mono", monospace; }
 rect, path { stroke-width: 1.2; fill: none; } .line { stroke: var(--soft); }
 .run { fill: var(--blue-fill); stroke: var(--blue); } .asks { fill: var(--orange-fill); stroke: var(--orange); }
 .idle { stroke: var(--soft); stroke-dasharray: 3 2; } .pad { stroke: var(--faint); }
 .lit { fill: var(--green-fill); stroke: var(--green); } .frame { stroke: var(--faint); }
</style>"""


# ---- The example, counted --------------------------------------------------------------------------------------------


@dataclass
class Node:
    token: str
    depth: int  # tokens before it
    children: dict = field(default_factory=dict)
    asked: bool = False  # its next token is scored: the head needs its row

    @property
    def runs(self):
        return self.asked or bool(self.children)


def tree():
    root = Node("", -1)
    for prompt in PROMPTS:
        for completion in COMPLETIONS:
            node = root
            for i, token in enumerate(prompt + completion):
                node.asked |= i >= len(prompt)
                node = node.children.setdefault(token, Node(token, i))
    return root


def walk(node):
    """Nodes under a node in depth-first order, as the plan has them."""
    for child in node.children.values():
        yield child
        yield from walk(child)


def counts():
    """What the figures say: token rows one by one, of the tree, and rows of the head."""
    nodes = list(walk(tree()))
    return {"one by one": sum(len(prompt) + len(completion) for prompt in PROMPTS for completion in COMPLETIONS),
            "rows": sum(node.runs for node in nodes), "head rows": sum(node.asked for node in nodes)}


# ---- Drawing ---------------------------------------------------------------------------------------------------------


class Drawing:
    def __init__(self, width, height, title):
        self.parts, self.size, self.title = [], (width, height), title

    def text(self, x, y, text, kind="", anchor="start"):
        self.parts.append(f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>')

    def box(self, x, y, width, height, kind, radius=4):
        place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
        self.parts.append(f'<rect {place} rx="{radius}" class="{kind}"/>')

    def token(self, x, y, width, token, kind, height=22):
        self.box(x, y, width, height, kind)
        self.text(x + width / 2, y + height / 2 + 4, shown(token), "token", "middle")

    def line(self, *points, kind="line"):
        self.parts.append(f'<path d="M{" L".join(f"{x:g} {y:g}" for x, y in points)}" class="{kind}"/>')

    def arrow(self, x, y, to_x, to_y):
        self.line((x, y), (to_x, to_y))
        self.line((to_x - 5, to_y - 4), (to_x, to_y), (to_x - 5, to_y + 4))

    def brace(self, x, to_x, y, text):
        self.line((x, y), (x, y + 5), (to_x, y + 5), (to_x, y))
        self.text((x + to_x) / 2, y + 20, text, "small soft", "middle")

    def legend(self, x, y, *kinds):
        for kind, text in kinds:
            self.box(x, y - 10, 14, 12, kind, 3)
            self.text(x + 20, y, text, "small")
            x += 38 + 6.3 * len(text)

    def save(self, path):
        width, height = self.size
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                        f'height="{height}" role="img" aria-label="{escape(self.title)}">\n{STYLE}\n'
                        + "\n".join(self.parts) + "\n</svg>\n", encoding="utf-8")


def short(token):
    return token if len(token) <= 7 else token[:4] + "…"


def shown(token):
    return token.replace("\n", "\\n").strip(" ")


def kind_of(node):
    return "asks" if node.asked else "run" if node.runs else "idle"


COLUMN, BOX = 72, 62


def draw_tree(folder):
    numbers = counts()
    d = Drawing(800, 400, "Six rows of prompt and class, and the token tree that they make")
    d.text(4, 18, "Each class with its prompt, one by one", "bold")
    d.text(300, 18, f"{numbers['one by one']} token rows, and padding", "soft")
    y = 30
    longest = max(map(len, PROMPTS)) + max(map(len, COMPLETIONS))
    for prompt in PROMPTS:
        for completion in COMPLETIONS:
            for i in range(longest):
                d.box(4 + i * COLUMN, y, BOX, 12, "run" if i < len(prompt + completion) else "pad", 3)
            y += 17
    d.text(4, y + 32, "The same as a tree", "bold")
    d.text(300, y + 32, f"{numbers['rows']} token rows, {numbers['head rows']} of them through the head", "soft")
    place_tree(d, y + 48)
    d.legend(4, 388, ("run", "runs through the model"), ("asks", "runs, and is asked what comes next"),
             ("idle", "is only looked up in the answer"))
    d.save(folder / "figure-tree.svg")


def place_tree(d, top):
    """Leaves take lines from the top; a parent stands in its first child's line."""
    lines = iter(range(100))

    def place(node):
        """Draws what is under a node; returns its line."""
        own = None
        for child in node.children.values():
            line = place(child)
            x, y = 4 + child.depth * COLUMN, top + line * 28
            own = line if own is None else own
            if node.depth >= 0:
                above = top + own * 28 + 11
                bend = x - (COLUMN - BOX) / 2
                d.line((x - (COLUMN - BOX), above), (bend, above), (bend, y + 11), (x, y + 11))
            d.token(x, y, BOX, child.token, kind_of(child))
        return next(lines) if own is None else own

    place(tree())


def rows():
    return [node for node in walk(tree()) if node.runs]


def draw_waves(folder):
    d = Drawing(800, 330, "The rows in depth-first order, cut into waves; a wave as one packed batch")
    d.text(4, 18, "The rows in depth-first order, cut where a wave is full", "bold")
    width = 45
    order = rows()
    for i, node in enumerate(order):
        d.token(4 + i * (width + 1.5), 30, width, short(node.token), kind_of(node))
    for first in range(0, len(order), WAVE):
        last = min(first + WAVE, len(order))
        d.brace(4 + first * (width + 1.5), 4 + last * (width + 1.5) - 2, 57, f"wave {first // WAVE + 1}")
    d.text(4, 116, "Wave 2 as one packed batch", "bold")
    for i, node in enumerate(order[WAVE:2 * WAVE]):
        d.token(4, 128 + i * 22, 56, node.token, kind_of(node), 19)
    for i, (title, lines) in enumerate([
            ("every layer", ["All rows through each matrix of", "weights, side by side, whatever", "text they belong to.",
                             "", "Attention: each row reads the", "keys and values of its own path."]),
            ("the last layer", ["Keys and values of all rows", "are stored. Only rows that are", "asked go on."]),
            ("the head", ["Rows that are asked times", "the vocabulary, a tile at a", "time: the full table of", "logits never exists."])]):
        x = 92 + i * 238
        d.arrow(x - 28, 214, x - 6, 214)
        d.box(x, 128, 206, 172, "frame", 8)
        d.text(x + 12, 150, title, "bold")
        for j, line in enumerate(lines):
            d.text(x + 12, 174 + j * 18, line, "small")
    d.save(folder / "figure-waves.svg")


def draw_store(folder):
    d = Drawing(800, 236, "Slots of the KV store and the paths of two rows through it")
    paths = {}

    def note(node, path):
        for child in node.children.values():
            if child.runs:
                paths[id(child)] = [*path, child]
                note(child, paths[id(child)])

    root = tree()
    note(root, [])
    order = [node for node in walk(root) if node.runs]
    slots = {id(node): i for i, node in enumerate(order)}
    width, asked = 45, [node for node in order if node.asked and node.token == " card"]
    for k, node in enumerate(asked):
        y = 18 + k * 104
        path = {slots[id(step)] for step in paths[id(node)]}
        d.text(4, y, f"What slot {slots[id(node)]} reads: its own path", "bold")
        d.text(290, y, " and ".join(f"slots {a} to {b}" for a, b in runs_of(sorted(path))), "soft")
        for i, other in enumerate(order):
            x = 4 + i * (width + 1.5)
            d.token(x, y + 12, width, short(other.token), "lit" if i in path else "pad")
            d.text(x + width / 2, y + 48, str(i), "small soft", "middle")
    d.legend(4, 228, ("lit", "keys and values that the row attends to"), ("pad", "other paths, which it does not see"))
    d.save(folder / "figure-store.svg")


def draw_head(folder):
    d = Drawing(800, 224, "The head, a tile of the vocabulary at a time")
    d.text(4, 18, f"Wave 2's rows that are asked, and the vocabulary in tiles of {TILE} tokens", "bold")
    tiles = sorted({number // TILE for number in IDS.values()})
    columns = [0, None, *tiles, None]  # None: those between and behind
    for i, tile in enumerate(columns):
        x = 150 + i * 92
        d.box(x, 54, 84, 78, "frame", 6)
        d.text(x + 42, 44, "…" if tile is None else f"{tile * TILE} – {tile * TILE + TILE - 1}", "small soft", "middle")
        d.text(x + 42, 152, "…" if tile is None else "max, sum", "small", "middle")
    for i, node in enumerate(node for node in rows()[WAVE:2 * WAVE] if node.asked):
        d.token(4, 56 + i * 26, 56, node.token, "asks")
        d.arrow(66, 67 + i * 26, 140, 67 + i * 26)
        for token in node.children:
            d.token(150 + columns.index(IDS[token] // TILE) * 92 + 11, 57 + i * 26, 62, token, "lit", 20)
    d.text(4, 152, "of each row and tile:", "small")
    d.text(4, 188, "log Pr(token) = its logit − log of the sum of exp(logit) over the vocabulary, "
           "merged from the tiles in their order")
    d.legend(4, 214, ("lit", "a logit that is wanted, picked up as its tile passes"))
    d.save(folder / "figure-head.svg")


def runs_of(numbers):
    """[0, 1, 2, 5, 6] as [(0, 2), (5, 6)]."""
    out = []
    for number in numbers:
        if out and out[-1][1] == number - 1:
            out[-1] = (out[-1][0], number)
        else:
            out.append((number, number))
    return out


def main(folder):
    draw_tree(folder)
    draw_waves(folder)
    draw_store(folder)
    draw_head(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
