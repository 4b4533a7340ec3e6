"""A small reader of C++: enough to strip comments and strings and to find function bodies. No parser, no compiler."""
import re
from typing import NamedTuple

_TOKEN = re.compile(
    r'//[^\n]*'
    r'|/\*.*?\*/'
    r'|R"(?P<delimiter>[^()\s\\]{0,16})\(.*?\)(?P=delimiter)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-zA-Z_])(?:u8|[uUL])?'(?:\\.|[^'\\\n])+'",
    re.DOTALL)


def strip(text):
    """The text with comments blanked and literals emptied; every line keeps its number."""
    def blank(match):
        token = match.group()
        lines = "\n" * token.count("\n")
        return lines + " " if token.startswith("/") else '""' + lines
    return _TOKEN.sub(blank, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


class Function(NamedTuple):
    name: str
    first_line: int
    last_line: int

    @property
    def lines(self):
        return self.last_line - self.first_line + 1


_SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b")
_CONSTRUCTOR = re.compile(r"\)\s*(noexcept)?\s*:(?!:)")
# Lines that end no declaration and begin none: preprocessor directives and the brackets of test suites.
_BESIDE = re.compile(r"^[ \t]*(?:#(?:[^\n]*\\\n)*[^\n]*|BOOST_\w+_TEST_SUITE\w*\s*\([^)]*\))", re.MULTILINE)


def _without_parentheses(text):
    """Empties every (…), so that what is left of a declaration shows its outer shape."""
    shape, depth = [], 0
    for char in text:
        if char == ")":
            depth -= 1
        if depth <= 0:
            shape.append(char)
        if char == "(":
            depth += 1
    return "".join(shape)


def _without_template(header):
    """Drops each leading `template <…>`, whose default arguments look like assignments."""
    while match := re.match(r"\s*template\s*<", header):
        depth, end = 1, match.end()
        while depth and end < len(header):
            depth += {"<": 1, ">": -1}.get(header[end], 0)
            end += 1
        header = header[end:]
    return header


def _kind(header):
    """What the brace after `header` opens: a function, a scope that may hold functions, a member initializer, or other."""
    header = _without_template(header)
    shape = _without_parentheses(re.sub(r"\boperator\s*(\(\s*\)|[^\s\w(]+)", "operator_", header))
    if _CONSTRUCTOR.search(shape) and (shape.rstrip()[-1:].isalnum() or shape.rstrip()[-1:] in "_>"):
        return "initializer"
    if re.search(r"(?<![=!<>])=(?!=)", shape):
        return "other"
    if ")" in shape and not re.match(r"\s*extern\s*\"", shape):
        named = _SCOPE.search(shape)
        # `struct X f() {` is a function, `class alignas(64) X {` a scope: the name before `(` tells them apart.
        if not named or not re.search(r"\b(class|struct|union|enum)\s+(alignas|\[\[)", shape):
            return "function"
    return "scope" if _SCOPE.search(shape) else "other"


def functions(text):
    """Every function with a body outside of other functions. Lambdas count as part of the function around them."""
    code = _BESIDE.sub(lambda match: "\n" * match.group().count("\n"), strip(text))
    found, stack, start, depth = [], [], 0, 0
    for position, char in enumerate(code):
        if char in "()":
            depth += 1 if char == "(" else -1
        inside = any(kind in ("function", "other") for kind, _ in stack)
        if char == "{":
            header = code[start:position]
            kind = "other" if inside or depth > 0 else _kind(header)
            begin = start + len(header) - len(header.lstrip())
            stack.append((kind, (begin, header, depth)))
            depth = 0
            if kind == "scope":
                start = position + 1
        elif char == "}" and stack:
            kind, (begin, header, outer_depth) = stack.pop()
            depth = outer_depth
            if kind == "function":
                name = re.search(r"([~\w:]+(?:\s*\(\s*\))?)\s*\(", header)
                found.append(Function(_test_name(header) or (name.group(1) if name else "?"), line_of(code, begin),
                                      line_of(code, position)))
            if kind in ("function", "scope"):
                start = position + 1
        elif char == ";" and not inside and depth == 0:
            start = position + 1
        elif char == ":" and not inside and re.search(r"\b(public|private|protected)\s*$", code[start:position]):
            start = position + 1
    return found


def _test_name(header):
    match = re.match(r"\s*BOOST_\w+_TEST_CASE\w*\s*\(\s*(\w+)", header)
    return match.group(1) if match else None
