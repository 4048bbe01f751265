"""Metric math: arithmetic over series, FILL, and SUM/AVG/MIN/MAX of lists.

A series is {time: value}; a scalar is a float. Where two series meet, only times that both have
give a value, and a division by zero gives none.
"""

import math
import re

_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z_][A-Za-z0-9_]*)|(.))")


class MathError(Exception):
    pass


def references(text):
    """The ids that an expression names (lower-case words: functions are in capitals)."""
    return [word for _, word, _ in _tokens(text) if word and word[0].islower()]


def evaluate(text, lookup, slots):
    """`lookup(id)` gives the series of another query; `slots`: all times, for FILL."""
    parser = _Parser(_tokens(text), lookup, slots)
    value = parser.sum()
    if parser.peek() is not None:
        raise MathError(f"unexpected '{parser.peek()}'")
    if isinstance(value, list):
        raise MathError("the result is a list of series, one was expected")
    if isinstance(value, float):
        return {slot: value for slot in slots}
    return value


def _tokens(text):
    if not text.strip():
        raise MathError("the expression is empty")
    return [m.groups() for m in _TOKEN.finditer(text.strip())]


class _Parser:
    def __init__(self, tokens, lookup, slots):
        self._tokens = tokens
        self._at = 0
        self._lookup = lookup
        self._slots = slots

    def peek(self):
        if self._at < len(self._tokens):
            return next(part for part in self._tokens[self._at] if part is not None)
        return None

    def _take(self, wanted=None):
        token = self.peek()
        if token is None or (wanted is not None and token != wanted):
            raise MathError(f"expected '{wanted or 'a value'}', found '{token or 'the end'}'")
        self._at += 1
        return self._tokens[self._at - 1]

    def sum(self):
        value = self._product()
        while self.peek() in ("+", "-"):
            sign = self._take()[2]
            value = _combine(value, self._product(), sign)
        return value

    def _product(self):
        value = self._power()
        while self.peek() in ("*", "/"):
            sign = self._take()[2]
            value = _combine(value, self._power(), sign)
        return value

    def _power(self):
        if self.peek() == "-":
            self._take()
            return _combine(0.0, self._power(), "-")
        base = self._atom()
        if self.peek() == "^":
            self._take()
            return _combine(base, self._power(), "^")
        return base

    def _atom(self):
        number, word, sign = self._take()
        if number is not None:
            return float(number)
        if word is not None:
            return self._function(word) if self.peek() == "(" else self._lookup(word)
        if sign == "(":
            value = self.sum()
            self._take(")")
            return value
        if sign == "[":
            return self._list_until("]")
        raise MathError(f"unexpected '{sign}'")

    def _list_until(self, end):
        values = []
        while self.peek() != end:
            values.append(self._fill_word() if self.peek() == "REPEAT" else self.sum())
            if self.peek() != end:
                self._take(",")
        self._take(end)
        return values

    def _fill_word(self):
        return self._take()[1]

    def _function(self, name):
        self._take("(")
        arguments = self._list_until(")")
        if name == "FILL" and len(arguments) == 2:
            return self._fill(*arguments)
        if name in ("ABS", "CEIL", "FLOOR") and len(arguments) == 1:
            plain = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}[name]
            return _each(arguments[0], lambda v: float(plain(v)))
        if name in ("SUM", "AVG", "MIN", "MAX") and len(arguments) == 1:
            return _aggregate(arguments[0], name)
        raise MathError(f"unsupported function {name} with {len(arguments)} arguments")

    def _fill(self, series, value):
        if not isinstance(series, dict):
            raise MathError("FILL needs a series")
        filled, last = {}, None
        for slot in self._slots:
            if slot in series:
                last = series[slot]
            missing = last if value == "REPEAT" else value
            if slot in series or missing is not None:
                filled[slot] = series.get(slot, missing)
        return filled


def _each(value, function):
    if isinstance(value, dict):
        return {time: function(v) for time, v in value.items()}
    if isinstance(value, float):
        return function(value)
    raise MathError("a list of series cannot stand here")


def _aggregate(value, name):
    fold = {"SUM": math.fsum, "MIN": min, "MAX": max, "AVG": lambda v: math.fsum(v) / len(v)}[name]
    if isinstance(value, dict):
        return float(fold(value.values())) if value else 0.0
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise MathError(f"{name} needs a series or a list of series")
    times = sorted({time for series in value for time in series})
    return {t: float(fold([s[t] for s in value if t in s])) for t in times}


def _arithmetic(left, right, sign):
    try:
        if sign == "+":
            return left + right
        if sign == "-":
            return left - right
        if sign == "*":
            return left * right
        result = left / right if sign == "/" else left ** right
    except (ZeroDivisionError, OverflowError):
        return None
    return None if isinstance(result, complex) else result


def _combine(left, right, sign):
    if isinstance(left, (list, str)) or isinstance(right, (list, str)):
        raise MathError(f"unsupported operand type(s) for {sign}")
    if isinstance(left, float) and isinstance(right, float):
        value = _arithmetic(left, right, sign)
        if value is None:
            raise MathError("division by zero")
        return value
    times = left.keys() if isinstance(left, dict) else right.keys()
    result = {}
    for time in times:
        a = left.get(time) if isinstance(left, dict) else left
        b = right.get(time) if isinstance(right, dict) else right
        if a is not None and b is not None:
            value = _arithmetic(a, b, sign)
            if value is not None:
                result[time] = value
    return result
