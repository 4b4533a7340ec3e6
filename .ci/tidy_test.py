"""For every rule of tidy.py a small tree that breaks it and one that keeps it: the checker itself can fail."""
import cpp
import tidy

LONG = "\n".join(["  x();"] * 70)
SUITE = "BOOST_AUTO_TEST_SUITE(a_test)\nBOOST_AUTO_TEST_CASE(works) {{ {} }}\nBOOST_AUTO_TEST_SUITE_END()\n"
USAGE = "usage: capstan\n  up   x\nEND\n  fly  y\n"

# rule, bad trees, good trees
SAMPLES = [
    (tidy.folders_include_what_they_may,
     [{"base/a.h": '#include "resp/b.h"\n', "resp/b.h": ""}, {"resp/a.cc": '#include "b.h"\n', "resp/b.h": ""},
      {"bench/a.cc": '#include "server/b.h"\n', "server/b.h": ""}],
     [{"resp/a.h": '#include "base/b.h"\n', "base/b.h": ""}]),
    (tidy.folders_use_the_libraries_they_may,
     [{"server/a.cc": "#include <lmdb.h>\n"}, {"resp/a.cc": "#include <event2/event.h>\n"},
      {"base/a.h": "#include <boost/asio.hpp>\n"}, {"quorum/a.cc": "#include <spdlog/spdlog.h>\n"}],
     [{"lmdb-store/a.cc": "#include <lmdb.h>\n#include <sys/mman.h>\n#include <vector>\n"},
      {"base/a_test.cc": "#include <boost/test/unit_test.hpp>\n"}]),
    (tidy.pure_folders_see_no_outside_world,
     [{"quorum/a.h": "#include <random>\n"}, {"consensus/a.cc": '#include "base/clock.h"\n'},
      {"quorum/a.cc": "#include <sys/socket.h>\n"}],
     [{"quorum/a.h": "#include <vector>\n", "lmdb-store/b.cc": "#include <thread>\n"}]),
    (tidy.production_code_includes_no_test_code,
     [{"server/a.cc": '#include "consensus/simulator.h"\n'}, {"server/a.h": '#include "base/testing/clock.h"\n'}],
     [{"quorum/a_test.cc": '#include "quorum/simulator.h"\n', "server/a.h": '#include "server/b.h"\n'}]),
    (tidy.no_include_cycles,
     [{"base/a.h": '#include "base/b.h"\n', "base/b.h": '#include "base/c.h"\n', "base/c.h": '#include "base/a.h"\n'}],
     [{"base/a.h": '#include "base/b.h"\n', "base/b.h": "", "base/c.h": '#include "base/a.h"\n#include "base/b.h"\n'}]),
    (tidy.headers_are_guarded, [{"base/a.h": "// #pragma once\n"}], [{"base/a.h": "#pragma once\n"}]),
    (tidy.file_sizes, [{"base/a.cc": "\n" * 801}], [{"base/a.cc": "\n" * 500}]),
    (tidy.function_sizes,
     [{"base/a.cc": f"int f() {{\n{LONG}\n}}\n"}, {"base/a.h": f"struct A {{\n  A() : b_{{1}}, c_(2) {{\n{LONG}\n}}\n}};\n"},
      {"base/a.cc": f"namespace a {{\nbool X::operator==(const X& o) const noexcept {{\n{LONG}\n}}\n}}\n"},
      {"base/a_test.cc": f"BOOST_AUTO_TEST_SUITE(a_test)\nBOOST_AUTO_TEST_CASE(b) {{\n{LONG}\n}}\n"},
      {"base/a.h": f"template <typename T = int>\nclass A {{\n  int x_ = 1;\n  T f(int y = 2) {{\n{LONG}\n}}\n}};\n"},
      {"bench/a.py": "def f():\n" + "    g()\n" * 70}],
     [{"base/a.h": "struct A {\n" + "  int f() { return 1; }\n" * 100 + "};\n"},
      {"base/a.cc": "namespace a {\nconst int table[] = {\n" + "  1,\n" * 100 + "};\n}\n"}]),
    (tidy.tests_are_listed,
     [{"base/a_test.cc": "", "base/CMakeLists.txt": "add_library(x a_test.cc)\n# capstan_tests(base a_test.cc)\n"},
      {"base/a_test.cc": "", "base/CMakeLists.txt": "capstan_tests(base aa_test.cc)\n"}],
     [{"base/a_test.cc": "", "base/CMakeLists.txt": "capstan_tests(base\n  a_test.cc)\n"}]),
    (tidy.sources_are_listed, [{"base/a.cc": "", "base/CMakeLists.txt": "add_library(x b.cc)"}],
     [{"base/a.cc": "", "base/CMakeLists.txt": "add_library(x b.cc a.cc)"}]),
    (tidy.tests_hold_their_own_suite,
     [{"base/b_test.cc": SUITE.format("")}, {"base/a_test.cc": SUITE.format("") + "BOOST_AUTO_TEST_SUITE(more)\n"},
      {"base/a_test.cc": "BOOST_AUTO_TEST_SUITE(a_test)\n// BOOST_AUTO_TEST_CASE(gone)\n"}],
     [{"base/a_test.cc": SUITE.format("")}]),
    (tidy.tests_do_not_sleep,
     [{"base/a_test.cc": SUITE.format("std::this_thread::sleep_for(1ms);")},
      {"redis-tests/a.py": "import time\ndef test():\n  time.sleep(1)\n"}],
     [{"base/a_test.cc": "void wait_for(F f) { while (!f()) usleep(1); }\n// sleep(1)\n" + SUITE.format('f("sleep(1)");')},
      {"redis-tests/a.py": "import time\ndef wait_until(f):\n  while not f(): time.sleep(0.01)\n"}]),
    (tidy.the_readme_tells_the_truth,
     [{}, {"README.md": "run `./capstan fly`", "capstan": USAGE}, {"README.md": "[a](docs/a.md)"}],
     [{"README.md": "./capstan up, see [a](docs/a.md) and [docs](docs/)", "capstan": USAGE, "docs/a.md": ""}]),
]


def breaches(rule, files):
    return [line for line in rule(tidy.Tree(files)) if tidy.WARNING not in line]


def every_rule_bites(_tree):
    tested = [rule for rule, _, _ in SAMPLES]
    yield from (f"tidy_test.py:1: no samples for {rule.__name__}" for rule in tidy.RULES if rule not in tested)
    for rule, bad, good in SAMPLES:
        for index, files in enumerate(bad):
            if not breaches(rule, files):
                yield f"tidy_test.py:1: {rule.__name__} does not see what is wrong with its bad sample {index}"
        for index, files in enumerate(good):
            for line in breaches(rule, files):
                yield f"tidy_test.py:1: {rule.__name__} rejects its good sample {index}: {line}"
    names = [f.name for f in cpp.functions("int a(int x) { if (x) { return 1; } return b(); }\nstruct S { void c() {} };")]
    if names != ["a", "c"]:
        yield f"tidy_test.py:1: functions found in the sample: {names}"
