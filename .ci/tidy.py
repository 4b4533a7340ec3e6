#!/usr/bin/env python3
"""Checks what a compiler does not: who includes whom, sizes, formatting, that every test is listed and can run.

usage: tidy.py [--deep]      (--deep adds clang-tidy, which needs a configured build/release)

Prints one line per breach, and at the end "N passed, N failed", counting rules. Each rule is a function from the tree
to its breaches; tidy_test.py holds a bad and a good sample for each and runs first.
"""
import ast
import pathlib
import posixpath
import re
import subprocess
import sys

import cpp

ROOT = pathlib.Path(__file__).resolve().parent.parent

# docs/architecture.md, "Folders". A folder may also include itself and what its own includes may include.
MAY_INCLUDE = {
    "base": {"base"},
    "resp": {"resp", "base"},
    "consensus": {"consensus", "base"},
    "quorum": {"quorum", "base"},
    "lmdb-store": {"lmdb-store", "quorum", "base"},
    "cluster": {"cluster", "resp", "consensus", "quorum", "base"},
    "server": {"server", "cluster", "lmdb-store", "consensus", "quorum", "resp", "base"},
    "redis-tests": set(),
    "bench": {"bench", "resp", "base"},
}

# The libraries each folder may use, by how their headers begin.
LIBRARIES = {
    "base": {"xxhash.h"},
    "resp": set(),
    "consensus": {"absl/"},
    "quorum": {"absl/"},
    "lmdb-store": {"lmdb.h", "absl/", "spdlog/", "fmt/"},
    "cluster": {"event2/", "absl/", "spdlog/", "fmt/", "openssl/"},
    "server": {"event2/", "absl/", "spdlog/", "fmt/", "openssl/", "nlohmann/", "lua", "jemalloc/", "CLI/", "hiredis/"},
    "redis-tests": {"hiredis/", "event2/"},
    "bench": {"event2/", "absl/", "fmt/", "hiredis/"},
}
TEST_LIBRARIES = {"boost/test/", "boost/mpl/", "hiredis/"}
SYSTEM = re.compile(r"(sys|netinet|arpa|linux|net|netdb|asm)/|\w+\.h$|[a-z_0-9]+$")
LIBRARY_HEADERS = ("xxhash.h", "lmdb.h", "event.h", "evhttp.h", "lua", "event2/")

# Pure state machines see no thread, clock, randomness, file or socket.
PURE = {"consensus", "quorum"}
IMPURE_HEADERS = re.compile(
    r"<(thread|mutex|shared_mutex|condition_variable|future|semaphore|latch|barrier|stop_token|random|chrono|ctime|time\.h|"
    r"fstream|filesystem|cstdio|stdio\.h|unistd\.h|fcntl\.h|pthread\.h|poll\.h|netdb\.h|sys/.*|netinet/.*|arpa/.*)>|\"base/clock\.h\"")

TEST_ONLY = re.compile(r"(^|/)(simulator|simulation|testing|fuzz)[/_.]|_test\.|_testing\.|(^|/)test_|_simulator\.|_fuzz\.")

FILE_LINES = (500, 800)
FUNCTION_LINES = (40, 70)
SLEEPS = re.compile(r"\b(u?sleep|nanosleep|clock_nanosleep|sleep_for|sleep_until)\s*\(")


class Tree:
    """The files of the project: path from the root → text."""

    def __init__(self, files):
        self.files = files
        self._stripped = {}

    def named(self, *suffixes):
        return sorted(path for path in self.files if path.endswith(suffixes))

    def cpp(self):
        return [path for path in self.named(".cc", ".h") if folder_of(path) in MAY_INCLUDE]

    def stripped(self, path):
        if path not in self._stripped:
            self._stripped[path] = cpp.strip(self.files[path])
        return self._stripped[path]

    def includes(self, path):
        """(line, "<x>" or '"x"') of every #include."""
        found = re.finditer(r"^[ \t]*#[ \t]*include[ \t]*(<[^>\n]+>|\"[^\"\n]+\")", self.files[path], re.MULTILINE)
        return [(cpp.line_of(self.files[path], match.start()), match.group(1)) for match in found]


def folder_of(path):
    return path.split("/")[0]


def is_test(path):
    return TEST_ONLY.search(path) is not None


# ---- rules ---------------------------------------------------------------------------------------------------------


def folders_include_what_they_may(tree):
    for path in tree.cpp():
        for line, header in tree.includes(path):
            if not header.startswith('"'):
                continue
            name = header.strip('"')
            if name not in tree.files:
                yield f"{path}:{line}: {header} is no file; include paths start at the root"
            elif folder_of(name) not in MAY_INCLUDE[folder_of(path)]:
                yield f"{path}:{line}: {folder_of(path)}/ may not include {folder_of(name)}/"


def folders_use_the_libraries_they_may(tree):
    for path in tree.cpp():
        allowed = tuple(LIBRARIES[folder_of(path)] | (TEST_LIBRARIES if is_test(path) else set()))
        for line, header in tree.includes(path):
            name = header.strip("<>")
            if header.startswith('"') or (allowed and name.startswith(allowed)):
                continue
            if name.startswith(LIBRARY_HEADERS) or not SYSTEM.match(name):
                yield f"{path}:{line}: {folder_of(path)}/ may not use {header}"


def pure_folders_see_no_outside_world(tree):
    for path in tree.cpp():
        if folder_of(path) in PURE and not is_test(path):
            for line, header in tree.includes(path):
                if IMPURE_HEADERS.fullmatch(header):
                    yield f"{path}:{line}: {folder_of(path)}/ is pure; it may not include {header}"


def production_code_includes_no_test_code(tree):
    for path in tree.cpp():
        if not is_test(path):
            for line, header in tree.includes(path):
                if header.startswith('"') and is_test(header.strip('"')):
                    yield f"{path}:{line}: production code includes the test-only {header}"


def no_include_cycles(tree):
    edges = {path: [header.strip('"') for _, header in tree.includes(path)] for path in tree.cpp()}
    done, trail = set(), []

    def visit(path):
        if path in trail:
            yield "include cycle: " + " → ".join(trail[trail.index(path):] + [path])
        elif path not in done:
            trail.append(path)
            for target in edges.get(path, ()):
                yield from visit(target)
            done.add(trail.pop())

    for path in edges:
        yield from visit(path)


def headers_are_guarded(tree):
    for path in tree.cpp():
        if path.endswith(".h") and "#pragma once" not in tree.stripped(path):
            yield f"{path}:1: no #pragma once"


def file_sizes(tree):
    for path in tree.named(".cc", ".h", ".py", ".js", ".mjs", ".sh", "CMakeLists.txt") + ["capstan"]:
        yield from too_long(path, 1, "file", tree.files.get(path, "").count("\n"), FILE_LINES)


def function_sizes(tree):
    for path in tree.cpp():
        for function in cpp.functions(tree.files[path]):
            yield from too_long(path, function.first_line, function.name, function.lines, FUNCTION_LINES)
    for path in tree.named(".py"):
        for node in ast.walk(ast.parse(tree.files[path])):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from too_long(path, node.lineno, node.name, node.end_lineno - node.lineno + 1, FUNCTION_LINES)


def too_long(path, line, what, lines, limits):
    aim, limit = limits
    if lines > aim:
        yield f"{path}:{line}: {'' if lines > limit else WARNING}{what} has {lines} lines ({'limit ' + str(limit) if lines > limit else 'aim ' + str(aim)})"


WARNING = "warning: "


def tests_are_listed(tree):
    for path in tree.named("_test.cc"):
        cmake = f"{folder_of(path)}/CMakeLists.txt"
        lists = re.findall(r"\bcapstan_tests\(([^)]*)\)", uncommented(tree.files.get(cmake, "")))
        if posixpath.relpath(path, folder_of(path)) not in " ".join(lists).split():
            yield f"{path}:1: not listed in capstan_tests(…) of {cmake}"


def sources_are_listed(tree):
    for path in tree.cpp():
        cmake = f"{folder_of(path)}/CMakeLists.txt"
        name = posixpath.relpath(path, folder_of(path))
        if path.endswith(".cc") and name not in re.split(r"[\s()]+", uncommented(tree.files.get(cmake, ""))):
            yield f"{path}:1: not listed in {cmake}"


def uncommented(cmake):
    return re.sub(r"#[^\n]*", "", cmake)


def tests_hold_their_own_suite(tree):
    for path in tree.named("_test.cc"):
        suite = posixpath.basename(path).removesuffix(".cc")
        code = tree.stripped(path)
        suites = re.findall(r"\bBOOST_(?:AUTO|FIXTURE)_TEST_SUITE\s*\(\s*(\w+)", code)
        if suites != [suite]:
            yield f"{path}:1: must hold exactly the suite {suite}, holds {suites or 'none'}"
        if not re.search(r"\bBOOST_(AUTO|FIXTURE|DATA)_TEST_CASE\w*\s*\(", code):
            yield f"{path}:1: holds no test case"


def tests_do_not_sleep(tree):
    """Only a helper that waits for a condition (its name says wait, until or eventually) may sleep between two looks."""
    for path in tree.named("_test.cc") + [p for p in tree.named(".cc") if folder_of(p) == "redis-tests"]:
        helpers = [f for f in cpp.functions(tree.files[path]) if waits(f.name)]
        code = tree.stripped(path)
        for match in SLEEPS.finditer(code):
            line = cpp.line_of(code, match.start())
            if not any(f.first_line <= line <= f.last_line for f in helpers):
                yield f"{path}:{line}: a test sleeps; wait for a condition with a deadline"
    for path in tree.named(".py"):
        if folder_of(path) == "redis-tests":
            for line in python_sleeps(ast.parse(tree.files[path]), False):
                yield f"{path}:{line}: a test sleeps; wait for a condition with a deadline"


def waits(name):
    return re.search(r"wait|until|eventually", name, re.IGNORECASE) is not None


def python_sleeps(node, inside_helper):
    for child in ast.iter_child_nodes(node):
        helper = inside_helper or (isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and waits(child.name))
        if isinstance(child, ast.Call) and not helper:
            if getattr(child.func, "attr", getattr(child.func, "id", None)) == "sleep":
                yield child.lineno
        yield from python_sleeps(child, helper)


def the_readme_tells_the_truth(tree):
    readme = tree.files.get("README.md")
    if readme is None:
        yield "README.md:1: missing"
        return
    usage = tree.files.get("capstan", "").partition("usage:")[2].partition("\nEND")[0]
    known = set(re.findall(r"^  (\w+) ", usage, re.MULTILINE))
    for match in re.finditer(r"\./capstan[ \t]+([a-z][\w-]*)", readme):
        if match.group(1) not in known:
            yield f"README.md:{cpp.line_of(readme, match.start())}: no such command: {match.group()}"
    folders = {posixpath.dirname(path) for path in tree.files}
    for match in re.finditer(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", readme):
        target = match.group(1).rstrip("/").removeprefix("./")
        if target not in tree.files and not any(f == target or f.startswith(target + "/") for f in folders):
            yield f"README.md:{cpp.line_of(readme, match.start())}: links to {match.group(1)}, which is not there"


RULES = [folders_include_what_they_may, folders_use_the_libraries_they_may, pure_folders_see_no_outside_world,
         production_code_includes_no_test_code, no_include_cycles, headers_are_guarded, file_sizes, function_sizes,
         tests_are_listed, sources_are_listed, tests_hold_their_own_suite, tests_do_not_sleep, the_readme_tells_the_truth]


# ---- what needs other programs -------------------------------------------------------------------------------------


def formatted(tree):
    if paths := tree.cpp():
        result = subprocess.run(["clang-format", "--dry-run", "-Werror", *paths], cwd=ROOT, capture_output=True, text=True)
        found = re.findall(r"^(\S+?):(\d+):\d+: error: (.*)$", result.stderr, re.MULTILINE)
        first = {path: (line, message) for path, line, message in reversed(found)}
        yield from (f"{path}:{line}: {message}" for path, (line, message) in sorted(first.items()))
        if result.returncode != 0 and not first:
            yield f"clang-format: {result.stderr.strip()}"


def clang_tidy_is_content(tree):
    sources = [path for path in tree.cpp() if path.endswith(".cc") and not is_test(path)]
    build = ROOT / "build/release"
    if not (build / "compile_commands.json").exists():
        yield "clang-tidy: build/release is not configured (./capstan build)"
        return
    result = subprocess.run(["xargs", "-P2", "-n4", "clang-tidy", "-p", str(build), "--quiet",
                             "--extra-arg=-Wno-unknown-warning-option",  # GCC's own
                             "--extra-arg=-Wno-zero-as-null-pointer-constant",  # clang 14 takes each <=> for one
                             "--extra-arg=-fsized-deallocation"], cwd=ROOT,  # as in GCC by default
                            input="\n".join(sources), capture_output=True, text=True)
    # What cannot be compiled counts wherever it stands: a template of a library, say, that our code fills in.
    found = [(place.removeprefix(f"{ROOT}/"), message) for place, kind, message in
             re.findall(r"^(\S+): (warning|error): (.*)$", result.stdout, re.MULTILINE)
             if kind == "error" or place.startswith(f"{ROOT}/")]
    yield from (f"{place}: {message}" for place, message in sorted(set(found)))
    if result.returncode != 0 and not found:
        yield f"clang-tidy: exit status {result.returncode}: {result.stdout[-500:]} {result.stderr[-500:]}"


# ---- running them --------------------------------------------------------------------------------------------------


def project():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.split("\0")
    files = {}
    for name in filter(None, listed):
        path = ROOT / name
        if path.is_file():
            files[name] = path.read_text(encoding="utf-8", errors="replace")
    return Tree(files)


def check(rule, tree):
    """True if the rule has no breach; warnings are printed but are none."""
    breaches = 0
    for line in rule(tree):
        print(f"tidy: {line}")
        breaches += WARNING not in line
    if breaches:
        print(f"tidy: FAILED: {rule.__name__.replace('_', ' ')}")
    return breaches == 0


def main():
    import tidy_test
    tree = project()
    rules = [tidy_test.every_rule_bites] + RULES + [formatted]
    if "--deep" in sys.argv[1:]:
        rules.append(clang_tidy_is_content)
    results = [check(rule, tree) for rule in rules]
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.modules["tidy"] = sys.modules["__main__"]  # so that tidy_test sees these very functions
    sys.exit(main())
