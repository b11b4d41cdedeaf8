"""Safe reading of YAML files written by hand, with mistakes reported in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from fitlib.errors import InputError


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice and reads 5e-4 as a number (as YAML 1.2 does)."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here and not when the mapping is constructed: by then the keys merged by `<<` are mixed with its own.
        node = super().compose_mapping_node(anchor)
        keys = [(key.tag, key.value) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        repeated = [key for i, (tag, key) in enumerate(keys) if (tag, key) in keys[:i]]
        if repeated:
            raise yaml.MarkedYAMLError(problem=f"field {repeated[0]!r} is given twice", problem_mark=node.start_mark)
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> object:
    """Return a YAML file's plain values; raise InputError if it cannot be read or does not parse."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), "file", path.name, f"cannot be read ({error})", "check the path") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "file"
        problem = f"not valid YAML: {getattr(error, 'problem', None) or error}"
        raise InputError(str(path), line, path.name, problem, "check indentation and quotes there") from None


def parse_yaml(text: str) -> object:
    """Return the plain values of a YAML text; raise YAMLError for any text that is not safe, valid YAML."""
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # a scalar such as 2020-13-45, `!!int x`
        raise yaml.YAMLError(f"a value cannot be read ({error})") from None
