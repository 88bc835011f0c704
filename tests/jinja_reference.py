"""Renders chat templates with jinja2, configured as transformers configures it (utils/chat_template_utils.py). This is
the reference for src/chat."""
import copy
import json
from datetime import datetime

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """{% generation %} ... {% endgeneration %}: transformers marks the assistant's text with this block."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

    def _support(self, caller):
        return caller()


def _tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def environment(now):
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = _raise_exception
    made.globals["strftime_now"] = lambda form: datetime.fromtimestamp(now).strftime(form)
    return made


_compiled = {}


def render(case):
    """Renders a case in the form that chat_tool takes; raises the errors of jinja2."""
    now = case.get("now", 0)
    key = (case["template"], now)
    if key not in _compiled:
        _compiled[key] = environment(now).from_string(case["template"])
    variables = {"messages": case.get("messages", []), "tools": None, "documents": None, "add_generation_prompt": True,
                 **case.get("tokens", {}), **copy.deepcopy(case.get("variables", {}))}
    return _compiled[key].render(**variables)


def outcome(case):
    """{"text": ...}, or {"error": ...}."""
    try:
        return {"text": render(case)}
    except Exception as error:  # whatever Python raises inside a template
        return {"error": f"{type(error).__name__}: {error}"}
