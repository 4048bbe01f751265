"""Checks typed params against the constraints of botocore's models, and says so as AWS does."""

import functools
import re

from errors import validation


class Violation(Exception):
    """One broken constraint: `path` (desiredCapacity), `value` and the rule in AWS's words."""

    def __init__(self, path, value, rule, missing=False):
        super().__init__(path)
        self.path, self.value, self.rule, self.missing = path, value, rule, missing

    def text(self):
        shown = "null" if self.missing else f"'{self.value}'"
        return f"Value {shown} at '{self.path}' failed to satisfy constraint: {self.rule}"


def check(params, shape):
    """Raises ValidationError naming every violation; the model's input shape may be None."""
    if shape is None:
        return
    found = list(violations(params, shape))
    if found:
        count = f"{len(found)} validation error" + ("s" if len(found) > 1 else "")
        raise validation(f"{count} detected: " + "; ".join(v.text() for v in found))


def violations(value, shape, path=""):
    kind = shape.type_name
    if kind == "structure":
        yield from _structure(value, shape, path)
    elif kind == "list":
        yield from _length(value, shape, path, len(value))
        for number, item in enumerate(value, 1):
            yield from violations(item, shape.member, f"{path}.{number}.member")
    elif kind == "map":
        yield from _length(value, shape, path, len(value))
        for item in value.values():
            yield from violations(item, shape.value, f"{path}.value")
    elif kind == "string":
        yield from _string(value, shape, path)
    elif kind in ("integer", "long", "float", "double"):
        yield from _range(value, shape, path)


def _structure(value, shape, path):
    prefix = path + "." if path else ""
    for name, member in shape.members.items():
        member_path = prefix + name[0].lower() + name[1:]
        if name in value:
            yield from violations(value[name], member, member_path)
        elif name in shape.required_members:
            yield Violation(member_path, None, "Member must not be null", missing=True)


def _string(value, shape, path):
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        yield Violation(path, value, f"Member must satisfy enum value set: [{', '.join(enum)}]")
    yield from _length(value, shape, path, len(value))
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield Violation(path, value, f"Member must satisfy regular expression pattern: {pattern}")


def _length(value, shape, path, length):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and length < low:
        rule = f"Member must have length greater than or equal to {low}"
        yield Violation(path, value, rule)
    if high is not None and length > high:
        yield Violation(path, value, f"Member must have length less than or equal to {high}")


def _range(value, shape, path):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and value < low:
        yield Violation(path, value, f"Member must have value greater than or equal to {low}")
    if high is not None and value > high:
        yield Violation(path, value, f"Member must have value less than or equal to {high}")


@functools.lru_cache(maxsize=None)
def _compiled(pattern):
    """The models' patterns are Java's: surrogate pairs stand for what is above U+FFFF."""
    pattern = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
    pattern = pattern.replace(r"\p{Alpha}", "a-zA-Z").replace(r"\p{Alnum}", "a-zA-Z0-9")
    try:
        return re.compile(pattern)
    except re.error:
        return re.compile(r"[\s\S]*")
