"""Random conversations and random templates in the subset of Jinja that capp knows, for comparison with jinja2. Most of
them render in jinja2 without an error; where jinja2 fails, capp must fail too."""
import re

ROLES = ("system", "user", "assistant")
AWKWARD = ("", " ", "\n", "  \n\t ", "{{ x }}", "{% if %}", "<|im_end|>", "<s>", "</s>", "<start_of_turn>", "[/INST]",
           "a'b\"c\\d", "\u00e9\u4e2d\U0001f600", "\u00a0x\u2003", "line\r\nend\r", "<think>\nhm\n</think>\n\nyes", "&<>", "\x00\x1f\x7f",
           "\u2028\u0085", "ASSISTANT:", "%s %d", "#}", "0", "None", "a" * 300)
WORDS = ("hello", "the", "Paris", "x", "42", "What is", "?", "\n\n", " - ", "```c\nint a;\n```", "Ünïcödé", "日本語", "\t")


def text(random):
    if random.random() < 0.3:
        return random.choice(AWKWARD)
    return random.choice(("", " ", "\n")) + " ".join(
        random.choice(WORDS if random.random() < 0.8 else AWKWARD) for _ in range(random.randrange(1, 8)))


def conversation(random):
    """Mostly turns that templates expect."""
    turns = [("system", text(random))] if random.random() < 0.4 else []
    for _ in range(random.randrange(3)):
        turns += [("user", text(random)), ("assistant", text(random))]
    turns.append(("user", text(random)))
    if random.random() < 0.1:
        random.shuffle(turns)
    return [{"role": role, "content": content} for role, content in turns]


VARIABLES = {"n": 3, "zero": 0, "minus": -7, "f": 2.5, "yes": True, "no": False, "nothing": None, "s": "Hello, World",
             "t": "  a-b c\n", "list": ["b", "A", "c", "a", 1], "words": ["b", "A", "c"], "numbers": [3, 1, 2, 2],
             "empty": [], "d": {"k": "v", "a": 1, "list": [1, 2], "items": "no method"},
             "dicts": [{"a": 1, "b": "x"}, {"a": 2}, {"a": 1, "b": "z"}]}


class Templates:
    """Each method generates a random piece; depth bounds it."""

    def __init__(self, random):
        self.random = random
        self.names = 0

    def pick(self, *choices):
        return self.random.choice(choices)

    def literal(self):
        return self.pick("1", "0", "-2", "10", "2.5", "1e3", "true", "False", "none", "'a'", "'A b'", '"q\'r"', "'\\n'", "''",
                         "'é\\u00e9\\t'", "'<s>'", "[]", "{}", "[1, 'b', none]", "{'k': 1, 'z': [2]}", "(1, 2)", "'x' 'y'")

    def name(self):
        return self.pick(*VARIABLES, "missing", "messages", "bos_token", "add_generation_prompt", "tools", "v0", "v1", "i", "ns")

    def atom(self, depth):
        r = self.random.random()
        if r < 0.35 or depth <= 0:
            return self.pick(self.literal(), self.name(), self.name())
        if r < 0.5:
            return f"messages[{self.pick('0', '-1', 'n', '99')}]{self.pick('.role', '.content', '[' + chr(39) + 'content' + chr(39) + ']', '')}"
        if r < 0.6:
            return f"{self.name()}[{self.wild(depth - 1)}]"
        if r < 0.7:
            return f"{self.name()}[{self.bound()}:{self.bound()}{self.pick('', ':' + self.bound())}]"
        if r < 0.8:
            return f"({self.wild(depth - 1)})"
        if r < 0.9:
            return f"{self.name()}.{self.pick('k', 'a', 'list', 'items', 'nope', 'role')}"
        return self.method(depth)

    def bound(self):
        return self.pick("", "0", "1", "-1", "2", "-2", "n", "100", "-100")

    def method(self, depth):
        s = self.pick("s", "t", "messages[0].content", "messages[-1]['content']", "'a,b,,c'", "d.k", "'  x '")
        call = self.pick("strip()", "lstrip()", "rstrip()", "strip(' a')", "lower()", "upper()", "title()", "capitalize()", "split()",
                         "split(',')", "split(' ', 1)", "split('\\n')[-1]", "rsplit(',', 1)", "splitlines()", "startswith('a')",
                         "startswith(('H', ' '))", "endswith('\\n')", "replace('a', 'bb')", "replace('l', '', 1)", "find('l')",
                         "rfind('l')", "count('l')", "removeprefix('He')", "removesuffix('c')", "isdigit()", "isalpha()", "isspace()",
                         "isupper()", "islower()", "join(words)", "split('</think>')[-1].lstrip('\\n')", "index2()", "replace('', '-')",
                         "isalnum()")
        other = self.pick("d.get('k')", "d.get('q', 1)", "d.get('q')", "d.keys()|list", "d.values()|list", "d['items']", "list.index('A')",
                          "numbers.count(2)", "d.items()|list", "dicts[0].items()|list|length", "range(3)|list", "range(5, 0, -2)|list",
                          "namespace(a=1).a", "dict(a=1, b=s)", "loop.index")
        return self.pick(f"{s}.{call}", f"{s}.{call}", other)

    def filter(self, depth):
        return self.pick("trim", "length", "upper", "lower", "title", "capitalize", "string", "list", "first", "last", "join(', ')", "join",
                         "tojson", "tojson(indent=2)", "tojson(sort_keys=true)", "default('d')", "default('d', true)", "d(n)", "replace('a', 'b')",
                         "int", "int(5)", "float", "abs", "reverse|list", "sort", "sort(reverse=true)", "unique|list", "sum", "min", "max", "items|list",
                         "map('upper')|list", "map(attribute='a')|list", "selectattr('a', 'equalto', 1)|list", "rejectattr('b')|list",
                         "selectattr('b', 'defined')|list", "select('string')|list", "reject('none')|list", "select|list", "indent(2)",
                         "indent(2, true)", "map('default', 'q')|list", "dictsort", "map('int')|list", "trim|length", "count", "map(attribute='b', default='-')|join",
                         "tojson(separators=(',', ':'))", "tojson(ensure_ascii=true)", "sort(attribute='a')|list", "join('-', attribute='b')", "trim('a ')",
                         "select('odd')|list", "select('in', [1, 2])|list", "replace('l', 'L', 1)")

    def test(self):
        return self.pick("defined", "undefined", "none", "string", "mapping", "sequence", "iterable", "number", "integer", "float", "boolean", "true",
                         "false", "odd", "even", "divisibleby(3)", "divisibleby 2", "eq(1)", "equalto 'a'", "in [1, 'a']", "in list", "lower", "upper",
                         "callable", "ne 3", "lt 3", "ge(2)", "sameas true", "sameas none")

    # Expressions by type; most of them work. In a pattern, <n>, <s>, <l>, <d>, <b> stand for a number, text, list, dict
    # and truth value, and <a> for any of them; capitals stand for the simplest ones.

    SIMPLE = {"n": ("n", "zero", "minus", "f", "1", "2", "10", "2.5", "numbers[0]"),
              "s": ("s", "t", "messages[0].content", "messages[-1]['content']", "'a,b,,c'", "d.k", "'  x '", "bos_token", "'é\\n'",
                    "\"q'r\""),
              "l": ("list", "words", "numbers", "empty", "dicts", "messages", "[1, 'b']", "(1, 2)", "range(3)|list",
                    "d.keys()|list", "[]"),
              "d": ("d", "messages[0]", "{}", "dicts[0]", "dict(a=1, b=s)"),
              "b": ("yes", "no", "true", "false", "nothing", "missing", "add_generation_prompt", "n", "s", "empty")}
    PATTERNS = {
        "n": ("<n> + <n>", "<n> - <n>", "<n> * <n>", "<n> / 4", "<n> // 2", "<n> % 3", "-<n>", "(<n>)|abs", "<n> // -3",
              "(<s>)|length", "(<l>)|length", "<S>.find('l')", "numbers|sum", "numbers|max", "<S>.count('a')", "'42'|int", "2 ** n",
              "messages|length", "(<n>)|int", "d.a", "<n> % -3", "<n> / 3"),
        "s": ("(<s>).strip()", "(<s>).lstrip()", "(<s>).rstrip()", "(<s>).strip(' a')", "(<s>).lower()", "(<s>).upper()",
              "(<s>).title()", "(<s>).capitalize()", "(<s>).split('\\n')[-1]", "(<s>).replace('a', 'bb')",
              "(<s>).replace('l', '', 1)", "(<s>).removeprefix('He')", "(<s>).removesuffix('c')", "(<s>).join(words)",
              "(<s>).split('</think>')[-1].lstrip('\\n')", "(<s>).replace('', '-')", "(<s>).split(',')[0]", "(<s>)|trim",
              "(<s>)|upper", "(<s>)|lower", "(<s>)|title", "(<s>)|capitalize", "(<s>)|string", "(<s>)|tojson",
              "(<s>)|replace('a', 'b')", "(<s>)|reverse", "(<s>)|indent(2)", "(<s>)|indent(2, true)", "(<s>)|default('d', true)",
              "(<s>)|first", "(<s>)|last", "(<s>)|indent(3, blank=true)", "(<s>)|tojson(ensure_ascii=true)", "(<s>)|trim('a ')",
              "<s> + <s>", "(<s>) ~ <a>", "(<s>)[<I>:<I>]", "(<s>)[<I>:<I>:-1]", "(<s>)[<I>:<I>:2]", "(<s>)[::-3]",
              "'{}-{{x}}{}'.format(<a>, <s>)", "'{1}{0}{1}'.format(<s>, <a>)", "'{k}{}{k_2}'.format(<a>, k=<s>, k_2=1)",
              "<s> if <b> else <s>", "(<l>)|join('; ')", "(<a>)|tojson", "(<a>)|string", "(<s>) * 2", "(<d>)|tojson(indent=2)",
              "messages[0].role", "missing|default(<s>)", "list|tojson(indent=1)", "<n> ~ <s>"),
        "l": ("(<l>)|list", "(<l>)|reverse|list", "(<l>)[<I>:<I>]", "(<l>)[::-1]", "[<a>, <a>]", "(<s>).split()", "words|sort",
              "numbers|sort(reverse=true)", "words|map('upper')|list", "dicts|map(attribute='a')|list",
              "dicts|selectattr('a', 'equalto', 1)|list", "dicts|rejectattr('b', 'defined')|list", "(<l>)|select('string')|list",
              "words|unique|list", "d|items|list", "d|dictsort", "(<s>)|list", "(<s>).splitlines()", "(<s>).split(',', 1)",
              "(<s>).rsplit('l', 1)", "(<l>) + [<a>]", "messages|map(attribute='role')|list", "(<s>).split(none, 1)",
              "(<s>).splitlines(true)"),
        "d": ("{'a': <a>, 'b': <a>}", "{<s>: <a>}", "dict(a=<a>)", "<D>"),
        "b": ("(<a>) is defined", "(<a>) is not none", "(<a>) is string", "(<a>) is mapping", "(<a>) is sequence", "(<a>) is iterable",
              "(<a>) is number", "(<a>) is not integer", "(<a>) is float", "(<a>) is boolean", "(<a>) is true", "(<a>) is not false",
              "(<a>) == (<a>)", "(<a>) != (<a>)", "<n> < <n>", "<s> < <s>", "<n> >= <n>", "(<a>) in (<l>)", "'a' not in (<s>)",
              "'a' in <D>", "not <b>", "<b> and <b>", "<b> or <b>", "(<n>) is odd", "(<n>) is even", "(<n>) is divisibleby 3",
              "(<s>).startswith(('a', 'H'))", "0 <= n < <N>", "(<s>) is lower", "(<s>) is upper", "(<a>) is eq (<a>)", "(<a>) is in <L>",
              "s is sameas none", "<S>.isalpha()", "<S>.isspace()", "<S>.isupper()", "<S>.islower()", "(<s>) in (<s>)"),
    }

    def typed(self, kind, depth):
        def one(match):
            inner = match[1]
            if inner == "I":
                return self.bound()
            return self.typed(inner.lower(), 0 if inner.isupper() else depth - 1)

        if kind == "a":
            kind = self.pick(*"nssldb")
        return re.sub("<([nsldbaNSLDBI])>", one,
                      self.random.choice(self.SIMPLE[kind] if depth <= 0 or self.random.random() < 0.2 else self.PATTERNS[kind]))

    def expression(self, depth):
        return self.wild(depth) if self.random.random() < 0.1 else self.typed("a", depth)

    def wild(self, depth):
        r = self.random.random()
        if depth <= 0 or r < 0.25:
            return self.atom(depth)
        if r < 0.4:
            return f"{self.wild(depth - 1)} {self.pick('+', '-', '*', '/', '//', '%', '~', '~', '+')} {self.wild(depth - 1)}"
        if r < 0.5:
            return f"{self.wild(depth - 1)} {self.pick('==', '!=', '<', '>', '<=', '>=', 'in', 'not in', 'and', 'or')} {self.wild(depth - 1)}"
        if r < 0.7:
            return f"{self.atom(depth - 1)}|{self.filter(depth)}"
        if r < 0.8:
            return f"{self.atom(depth - 1)} is {self.pick('', 'not ')}{self.test()}"
        if r < 0.85:
            return f"not {self.wild(depth - 1)}"
        if r < 0.92:
            return f"{self.wild(depth - 1)} if {self.wild(depth - 1)}{self.pick('', ' else ' + self.wild(depth - 1))}"
        return self.pick(f"-{self.atom(depth - 1)}", f"2 ** {self.pick('3', 'n', '0')}", f"1 < {self.atom(0)} <= 3", f"[{self.wild(depth - 1)}, {self.atom(0)}]",
                         f"{{'a': {self.wild(depth - 1)}}}")

    def tag(self, inside):
        return "{%" + self.pick("", "", "-", "+") + f" {inside} " + self.pick("", "", "-", "+") + "%}"

    def space(self):
        return self.pick("", "", " ", "\n", "\n  ", "  ", "\t\n\n", "x", "x \n", " y")

    def statement(self, depth):
        r = self.random.random()
        space = self.space
        if depth <= 0 or r < 0.35:
            return "{{" + self.pick("", "-") + f" {self.expression(3)} " + self.pick("", "-") + "}}"
        if r < 0.5:
            return (self.tag(f"if {self.expression(2)}") + self.body(depth - 1) +
                    self.pick("", self.tag(f"elif {self.expression(1)}") + self.body(depth - 1)) +
                    self.pick("", self.tag("else") + self.body(depth - 1)) + self.tag("endif"))
        if r < 0.65:
            target, over = self.pick(("i", "messages"), ("i", "list"), ("i", "range(3)"), ("k, i", "d.items()"), ("i", "s"), ("i", "missing"), ("i", "empty"),
                                     ("i", "numbers|sort"), ("i", "dicts|selectattr('b')"), ("message", "messages[1:]"))
            test = self.pick("", "", f" if {self.expression(1)}")
            inside = self.body(depth - 1) + self.pick("", "{{ loop.index }}", "{{ loop.first }},{{ loop.last }}", "{{ loop.revindex0 }}{{ loop.length }}",
                                                      "{{ loop.previtem }}{{ loop.nextitem }}", "{{ loop.cycle('a', 'b') }}", "{{ loop.changed(i) }}",
                                                      self.tag("if loop.index > 1") + self.tag(self.pick("break", "continue")) + self.tag("endif") + "z")
            return self.tag(f"for {target} in {over}{test}") + inside + self.pick("", self.tag("else") + space()) + self.tag("endfor")
        if r < 0.8:
            return self.pick(self.tag(f"set v{self.random.randrange(2)} = {self.expression(2)}"),
                             self.tag("set ns = namespace(a=0, b='')"), self.tag(f"set ns.a = {self.expression(1)}"),
                             self.tag("set v0, v1 = 1, s"),
                             self.tag("set v1") + self.body(depth - 1) + self.tag("endset"),
                             self.tag("set v0 | upper") + space() + "abc" + self.tag("endset"))
        if r < 0.86:
            name = f"m{self.names}"
            self.names += 1
            call = self.pick(f"{name}(1)", f"{name}('a', b=2)", f"{name}()", f"{name}(a=s)")
            return self.tag(f"macro {name}(a, b='d')") + "{{ a }}" + self.body(depth - 1) + "{{ b }}" + self.tag("endmacro") + "{{ " + call + " }}"
        if r < 0.92:
            return self.pick("{#" + self.pick("", "-") + " comment {{ \n " + self.pick("", "-", "+") + "#}", self.tag("raw") + " {{ x }} " + self.tag("endraw"),
                             self.tag("generation") + self.body(depth - 1) + self.tag("endgeneration"),
                             self.tag("filter upper") + self.body(depth - 1) + self.tag("endfilter"),
                             self.tag(f"with w = {self.expression(1)}") + "{{ w }}" + self.body(depth - 1) + self.tag("endwith"))
        return "{{ " + self.pick("bos_token", "messages[0].content", "messages|length", "s ~ n", "strftime_now('%d %b %Y')") + " }}"

    def body(self, depth):
        return "".join(self.space() + self.statement(depth) for _ in range(self.random.randrange(1, 4))) + self.space()

    def template(self):
        self.names = 0
        return self.body(3)
