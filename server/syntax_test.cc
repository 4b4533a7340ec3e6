#include "server/syntax.h"

#include <boost/test/unit_test.hpp>
#include <string>

#include "server/command.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(syntax_test)

namespace {

// name:type, TOKEN= before it, "?" optional, "+" multiple, what it consists of in braces.
std::string show(const std::vector<Argument>& arguments) {
  std::string text;
  for (const Argument& argument : arguments) {
    if (!text.empty()) text += " ";
    if (!argument.token.empty()) text += argument.token + "=";
    text += argument.name + ":" + argument.type;
    if (argument.optional) text += "?";
    if (argument.multiple) text += "+";
    if (!argument.arguments.empty()) text += "{" + show(argument.arguments) + "}";
  }
  return text;
}

std::string parse(std::string_view text) {
  const Result<std::vector<Argument>> arguments = parse_syntax(text);
  return arguments ? show(arguments.value()) : "error: " + arguments.error().message;
}

}  // namespace

BOOST_AUTO_TEST_CASE(arguments_tokens_and_groups) {
  BOOST_TEST(parse("") == "");
  BOOST_TEST(parse("<key:key>") == "key:key");
  BOOST_TEST(parse("<key:key> …") == "key:key+");
  BOOST_TEST(parse("<key:key>…") == "key:key+");
  BOOST_TEST(parse("[GET]") == "GET=get:pure-token?");
  BOOST_TEST(parse("[ASYNC|SYNC]") == "async_sync:oneof?{ASYNC=async:pure-token SYNC=sync:pure-token}");
  BOOST_TEST(parse("[MATCH <pattern:pattern>]") == "MATCH=pattern:pattern?");
  BOOST_TEST(parse("(<key:key> <value:string>)…") == "key_value:block+{key:key value:string}");
  BOOST_TEST(parse("<ip:port:string>") == "ip:port:string");
}

BOOST_AUTO_TEST_CASE(a_token_takes_the_arguments_behind_it) {
  BOOST_TEST(parse("[EX <seconds:integer>|KEEPTTL]") ==
             "seconds_keepttl:oneof?{EX=seconds:integer KEEPTTL=keepttl:pure-token}");
  BOOST_TEST(parse("[AUTH <user:string> <password:string>] [SETNAME <name:string>]") ==
             "AUTH=user_password:block?{user:string password:string} SETNAME=name:string?");
  BOOST_TEST(parse("OVERFLOW (WRAP|SAT)") == "OVERFLOW=wrap_sat:oneof{WRAP=wrap:pure-token SAT=sat:pure-token}");
  BOOST_TEST(parse("A <x:integer> B <y:integer>") == "A=x:integer B=y:integer");
  BOOST_TEST(parse("<x:integer> [<y:integer>]") == "x:integer y:integer?");
}

BOOST_AUTO_TEST_CASE(what_breaks_the_grammar_is_told) {
  for (const std::string_view text : {"<key>", "<key:", "<:key>", "[A", "A]", "(A", "A||B", "|A", "A|", "[]", "<a:>"}) {
    BOOST_TEST(parse(text).starts_with("error: "), std::string(text) + " → " + parse(text));
  }
}

BOOST_AUTO_TEST_CASE(every_row_of_the_table_follows_it) {
  for (size_t i = 0; i < command_count(); ++i) {
    const CommandSpec& spec = command_by_number(i);
    const std::string arguments = parse(spec.syntax);
    BOOST_TEST(!arguments.starts_with("error: "), command_full_name(spec) + ": " + arguments);
    // A command that takes no arguments has no syntax, and the other way round.
    if (!spec.subcommands.empty()) continue;
    const int words = command_full_name(spec).find('|') == std::string::npos ? 1 : 2;
    if (spec.arity == words) BOOST_TEST(arguments == "", command_full_name(spec));
    if (spec.arity > words || spec.arity < -words) BOOST_TEST(arguments != "", command_full_name(spec));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
