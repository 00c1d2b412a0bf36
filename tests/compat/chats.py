"""Conversations as jinja2 renders chat templates of them, with the settings that `transformers` gives it.

    chats.py GIVEN OUT

GIVEN is JSON: templates, chats (lists of messages), bos_token, eos_token. OUT gets, for each template and chat, the text
without and with a generation prompt, or null where the template refuses. Needs the wheels that stock.py names.
"""

import json
import sys

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


def refuse(message):
    raise jinja2.exceptions.TemplateError(message)


def main(given, out):
    given = json.load(open(given))
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = refuse

    def render(template, messages, generation):
        names = {name: given[name] for name in ("bos_token", "eos_token")}
        try:
            return environment.from_string(template).render(messages=messages, add_generation_prompt=generation, **names)
        except jinja2.exceptions.TemplateError:
            return None

    json.dump([[[render(template, chat, generation) for generation in (False, True)] for chat in given["chats"]] for template in given["templates"]], open(out, "w"))


main(*sys.argv[1:])
