"""The minimum number of floating-point operations of a task, computed from the model's shape and an independent count
of the token tree. It includes attention, but not norms and similar steps."""
import dataclasses
import math
import re

import engine


@dataclasses.dataclass
class Shape:
    layers: int
    width: int
    attention: list  # dimensions of all heads together, for each layer; 0 in a layer without attention
    kv: int          # dimensions of all heads of keys
    vocabulary: int
    layer_weights: int  # elements of all layers' matrices that a token uses

    @property
    def last_weights(self):
        """The weights of the last layer that only rows of the head use: all except keys and values."""
        return self.layer_weights // self.layers - 2 * self.width * self.kv

    def flops(self, tokens, head_rows, context, head_context):
        """context: the sum over tokens of the positions that each attends to. head_context: the sum over the head's
        tokens only; they are the only ones that pass the whole last layer."""
        layers = 2 * self.layer_weights * tokens - 2 * self.last_weights * (tokens - head_rows)
        attention = 4 * (sum(self.attention[:-1]) * context + self.attention[-1] * head_context)  # two products of a pair
        return layers + attention + 2 * self.vocabulary * self.width * head_rows


def shape(bench, model):
    facts = engine.inspect(bench, model)
    heads, head_dim, kv_heads = map(int, re.match(r"(\d+) of (\d+) dimensions(?:, (\d+))?", facts["model"]["heads"]).groups("0"))
    sizes = {name: [int(n) for n in text.split(",")[0].split(" x ")] for name, text in facts["tensors"].items()}
    experts = re.match(r"(\d+), (\d+) for a token", facts["model"].get("experts", "1, 1 for a token"))
    share = int(experts[2]) / int(experts[1])  # the used share of the experts' matrices, which have three dimensions
    layers = int(facts["model"]["layers"])
    attention = [sizes.get(f"blk.{i}.attn_output.weight", [0])[0] for i in range(layers)]
    return Shape(layers, int(facts["model"]["width"]), attention, (kv_heads or heads) * head_dim,
                 sizes["token_embd.weight"][1],
                 sum(round(math.prod(size) * (share if len(size) == 3 else 1)) for name, size in sizes.items()
                     if name.startswith("blk.") and len(size) > 1))


def tree(rows):
    """Tokens and head rows of [(prompt, [completion])], where each beginning is computed once, without tokens after
    which nothing is scored. Also returns the sums of positions for Shape.flops."""
    nodes, head = {}, {}  # (parent, id) -> (node, depth); node -> depth
    for prompt, completions in rows:
        for completion in completions:
            at, last = 0, len(prompt) - 1
            for i, token in enumerate(prompt + completion[:-1]):
                at = nodes.setdefault((at, token), len(nodes) + 1)
                if i >= last:
                    head[at] = i + 1
    depths = {0: 0}
    for (parent, _), node in nodes.items():  # parents were inserted before their children
        depths[node] = depths[parent] + 1
    return {"tokens": len(nodes), "head_rows": len(head), "context": sum(depths.values()), "head_context": sum(head.values())}


def needed(bench, model, path):
    """The operations that scoring the rows of a file needs."""
    count = tree(engine.token_ids(bench, model, path))
    return {**count, "flops": shape(bench, model).flops(**count)}


def prefill(bench, model, tokens):
    count = {"tokens": tokens, "head_rows": 1, "context": tokens * (tokens + 1) // 2, "head_context": tokens}
    return {**count, "flops": shape(bench, model).flops(**count)}
