"""Sphinx extension: the pages that are made of the sources.

    .. c-header::        every section of the headers in include/, read by hawkmoth
    .. python-modules::  every public module of python/capp, read by autodoc
    .. manual-page::     docs/capp.1 as mandoc sets it
    .. architectures::   a table of the rows of src/model/arch_*.c

The header's comments are plain ones, as everywhere in this house. hawkmoth takes comments that begin with two stars and
stand before what they describe, as reStructuredText; `sections_of` makes such a copy of the header, a file a section.
"""
import ast
import json
import re
import subprocess
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parent.parent
HEADERS = [ROOT / "include" / "capp.h", ROOT / "include" / "capp_arrays.h", ROOT / "include" / "capp_forecast.h", ROOT / "include" / "capp_queue.h"]  # in this order on the page
END = "#ifdef __cplusplus\n}"
PACKAGE = ROOT / "python" / "capp"
MANUAL = ROOT / "docs" / "capp.1"

ROWS = re.compile(r"const capp_arch capp_arch_\w+ = \{(.*?)\};", re.S)

OF_PACKAGE = ["Model", "Example", "ModelInfo", "CachedModel", "ChatModel"]  # what capp/__init__.py brings together and no module shows
FIRST = ["classify", "sklearn", "remote"]  # the order on the page, before what is not listed here

# In place of the standard headers, so that no compiler's folders are needed.
TYPES = ("typedef unsigned long size_t; typedef int int32_t; typedef unsigned uint32_t; typedef unsigned long uint64_t;\n"
         "typedef long int64_t;\n"
         "#define CAPP_API\n")
COMMENT = r"/\*(?:(?!\*/).)*\*/"
SECTION = re.compile(r"^/\* ---- (.+?) -+ \*/$", re.M)
NAME = re.compile(r"\b(?:capp|CAPP)_\w+")
MARKUP = re.compile(rf"(?P<name>{NAME.pattern})|[*`|\\]|(?<=\w)_(?!\w)")
TOP = re.compile(rf"(?P<comment>{COMMENT})|(?P<define>#define \w+ \S+)|#[^\n]*|"
                 r"(?P<block>(?:typedef )?(?:struct|enum)\b[^;{]*)\{(?P<body>.*?)\n\}(?P<end>[^;]*;)|(?P<plain>[^;{/#]+;)", re.S)
MEMBER = re.compile(rf"\s*(?:(?P<comment>{COMMENT})|(?P<member>\w[^;/]*;|\w[^;,/\n]*,?)(?P<behind>[ ]*{COMMENT})?)", re.S)


def lines_of(comment):
    """A comment's text without its stars."""
    return [re.sub(r"^\s*\* ?|^\s+", "", line) for line in comment.strip()[2:-2].strip().splitlines()]


def marked_up(lines, known):
    """Plain text as reStructuredText: what it takes for markup escaped, names of the interface linked."""
    def replace(match):
        if match["name"] in known:
            return rf"\ :c:expr:`{match['name']}`\ "
        return re.sub(r"_$", r"\_", match[0]) if match["name"] else "\\" + match[0]

    out = []
    for line in lines:
        if line.startswith("- ") and out and not out[-1].startswith(("- ", "  ")):
            out.append("")  # a list stands apart
        out.append(MARKUP.sub(replace, line))
    return out


def documented(what, comments, known, indent=""):
    """A declaration behind its comments, as hawkmoth wants them."""
    text = "\n\n".join("\n".join(marked_up(lines_of(comment), known)) for comment in comments if comment)
    return "\n".join(indent + line for line in ["/**", *text.splitlines(), "*/", what]) + "\n"


def members(body, known):
    """The inside of a struct or enum: each member by itself, behind the comment that stood above or behind it."""
    out, above = "", None
    for match in MEMBER.finditer(body):
        member = " ".join((match["member"] or "").split())
        if match["comment"]:
            above = match["comment"]
        elif member:
            several = re.fullmatch(r"([\w ]+ )(\w+(?:, \w+)+);", member)
            each = [f"{several[1]}{name};" for name in several[2].split(", ")] if several else [member]
            out += "".join(documented(one, [above, match["behind"]], known, "    ") for one in each)
            above = None
    return out


def declarations(text, known):
    """A section of the header with its comments as hawkmoth wants them."""
    out, comment = "", None
    for match in TOP.finditer(text):
        if match["comment"]:
            comment = match["comment"]
            continue
        what = match["define"] or " ".join((match["plain"] or "").split())
        if match["block"]:
            what = f"{match['block']}{{\n{members(match['body'], known)}}}{match['end']}"
        if what:
            out += documented(what, [comment], known)
            comment = None
    return out


def without_status_macro(text):
    """The enum that CAPP_STATUS_MAP makes, written out."""
    rows = re.findall(r'X\((\w+), (\d+), +"([^"]*)"\)', text)
    written = "".join(f"    CAPP_{name} = {value}, /* {meaning} */\n" for name, value, meaning in rows)
    text = re.sub(r"/\* X\(name.*?\n\n", "", text, flags=re.S)
    return re.sub(r"(enum capp_status \{\n).*?(?=\} capp_status;)", lambda match: match[1] + written, text, flags=re.S)


def sections_of(header):
    """What the header says first, and (title, declarations) of each section."""
    known = set(NAME.findall(re.sub(COMMENT, "", header, flags=re.S)))
    known |= {f"CAPP_{name}" for name in re.findall(r"X\((\w+), \d", header)} - {"CAPP_API"}
    head, *parts = SECTION.split(without_status_macro(header.partition(END)[0]))
    intro = marked_up(lines_of(re.match(COMMENT, head, re.S)[0]), known)
    version = head[head.index("#define CAPP_VERSION_MAJOR"):]
    pairs = [("Version", version), *zip(parts[::2], parts[1::2])]
    return intro, [(title, declarations(text, known)) for title, text in pairs]


def write_sections(folder):
    """A file a section, each with those before it; returns the page's text."""
    first, *others = (path.read_text(encoding="utf-8").partition(END)[0] for path in HEADERS)
    intro, sections = sections_of(first + "".join(text.partition('extern "C" {\n#endif\n')[2] for text in others))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "types.h").write_text("#pragma once\n" + TYPES, encoding="utf-8")
    page, before = ["\n".join(intro)], "types.h"
    for i, (title, text) in enumerate(sections):
        name = f"section{i}.h"
        (folder / name).write_text(f'#pragma once\n#include "{before}"\n{text}', encoding="utf-8")
        page.append(f"{title}\n{'-' * len(title)}\n\n.. c:autodoc:: {name}")
        before = name
    return "\n\n".join(page)


# ---- Directives ------------------------------------------------------------------------------------------------------


class CHeader(SphinxDirective):
    def run(self):
        for header in HEADERS:
            self.env.note_dependency(str(header))
        return self.parse_text_to_nodes(self.config.capp_header_page, allow_section_headings=True)


class PythonModules(SphinxDirective):
    def run(self):
        files = {path.stem for path in PACKAGE.glob("*.py")}
        public = {name for name in files if not name.startswith("_")} - {"model"}  # whose classes are capp's
        names = [name for name in FIRST if name in public] + sorted(public - set(FIRST))
        page = ["capp\n----\n\n.. automodule:: capp"]
        page += [f".. autoclass:: capp.{name}\n   :members:" for name in OF_PACKAGE]
        page += [f"capp.{name}\n{'-' * (5 + len(name))}\n\n.. automodule:: capp.{name}\n   :members:" for name in names]
        for name in files:
            self.env.note_dependency(str(PACKAGE / f"{name}.py"))
        return self.parse_text_to_nodes("\n\n".join(page), allow_section_headings=True)


def checks():
    """{model_type or architecture: what tests compare with}: transformers, llama.cpp, or another model with the same
    arithmetic."""
    tests = ROOT / "tests"
    files = [path.parent for path in (tests / "fixtures" / "tiny").glob("*/reference.json")]
    types = {path.name: json.loads((path / "config.json").read_text())["model_type"] for path in files}
    versions = {path.name: json.loads((path / "reference.json").read_text())["made_by"].partition(",")[0] for path in files}
    found = {name.partition("-")[0]: versions[name] for name in types} | {types[name]: versions[name] for name in types}
    found["kimi_k2"] = "the same arithmetic as deepseek_v3"  # test_kimi_k2
    found["qwen2_5_vl_text"] = "the same arithmetic as qwen2"  # test_the_first_folders_of_qwen_vl
    same = re.search(r"^SAME = (\[.*?\])$", (tests / "test_tiny_models.py").read_text(), re.M | re.S)
    found.update({arch: f"the same arithmetic as {types[name]}" for arch, name in ast.literal_eval(same[1])})
    references = json.loads((tests / "fixtures" / "llama_cpp" / "references.json").read_text())
    for name in references["models"]:
        for arch in (name, name.partition("-")[0]):
            if arch not in found or found[arch].startswith("the same"):
                found[arch] = "llama.cpp, " + references["made_by"].partition(",")[0]
    return found


def architectures():
    """(models, model_type of folders, architecture of GGUF files, what checks it) of each row, by the models' names."""
    found, checked = [], checks()
    for path in (ROOT / "src" / "model").glob("arch_*.c"):
        for row in ROWS.findall(path.read_text()):
            macro = re.search(r'LIKE_LLAMA\("([^"]*)", "([^"]*)"\)', row)
            fields = dict(re.findall(r'\.(models|gguf|gguf_as|hf) = "([^"]*)"', row))
            if macro:
                fields.update(gguf=macro[1], models=macro[2])
            names = fields.get("hf"), fields.get("gguf", fields.get("gguf_as"))
            found.append((fields["models"], *names, checked.get(names[0], checked.get(names[1]))))
    return sorted(found, key=lambda row: row[0].lower())


class Architectures(SphinxDirective):
    def run(self):
        rows = [("Models", "Folders: model_type", "GGUF: general.architecture", "Checked with"), *architectures()]
        table = nodes.table("", group := nodes.tgroup("", cols=4))
        group += [nodes.colspec(colwidth=width) for width in (34, 23, 23, 20)]
        lines = []
        for row in rows:
            entries = [nodes.entry("", nodes.paragraph("", "", nodes.literal("", cell) if cell and 0 < i < 3 and row is not rows[0]
                                                       else nodes.Text(cell or "-"))) for i, cell in enumerate(row)]
            lines.append(nodes.row("", *entries))
        group += nodes.thead("", lines[0])
        group += nodes.tbody("", *lines[1:])
        return [table]


class ManualPage(SphinxDirective):
    def run(self):
        self.env.note_dependency(str(MANUAL))
        command = ["mandoc", "-T", "html", "-O", "fragment", "-W", "warning", MANUAL]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ExtensionError(f"mandoc: {done.stderr}")
        found = re.findall(r'<h1 class="Sh" id="(\w+)">.*?>([\w\s]+)</a></h1>\n(.*?)</section>\n(?=<section class="Sh">|</div>)',
                           done.stdout, re.S)
        if not found:
            raise ExtensionError("mandoc gives no sections")
        return [self.section(*parts) for parts in found]

    def section(self, name, title, body):
        body = re.sub(r"(</?)h2", r"\1h3", body)
        heading = nodes.title(text=" ".join(title.split()).capitalize())
        text = nodes.raw("", f'<div class="manual">{body}</div>', format="html")
        return nodes.section("", heading, text, ids=[name.lower()], names=[name.lower()])


def prepare(app, config):
    folder = Path(app.doctreedir) / "header"
    config.capp_header_page = write_sections(folder)
    config.hawkmoth_root = str(folder)


def setup(app):
    app.add_config_value("capp_header_page", "", "env")
    app.add_directive("c-header", CHeader)
    app.add_directive("python-modules", PythonModules)
    app.add_directive("manual-page", ManualPage)
    app.add_directive("architectures", Architectures)
    app.connect("config-inited", prepare)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
