#include "server/config.h"

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "server/value_text.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(config_test)

namespace {

constexpr uint64_t kGibibyte = uint64_t{1} << 30;

// A directory of its own, gone at the end.
class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "capstan-config-XXXXXX").string();
    BOOST_REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string write(const std::string& name, const std::string& text) const {
    std::string path = path_ / name;
    std::ofstream(path) << text;
    return path;
  }
  std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string read(const std::string& path) {
  std::ifstream file(path);
  BOOST_REQUIRE(file.is_open());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Result<Settings> settings_of_words(const std::vector<std::string_view>& words) {
  Configuration configuration;
  const Result<> result = configuration.read_arguments(words);
  if (!result) return result.error();
  return configuration.settings(8 * kGibibyte);
}

std::string why(const Result<Settings>& settings) { return settings ? "" : settings.error().message; }

Result<Settings> settings_of_text(const std::string& text) {
  const Directory directory;
  const std::string path = directory.write("test.conf", text);
  return settings_of_words({path});
}

std::string error_of_text(const std::string& text) {
  const Result<Settings> settings = settings_of_text(text);
  BOOST_REQUIRE(!settings);
  const std::string& message = settings.error().message;
  return message.substr(message.find("test.conf"));
}

std::string value(const Settings& settings, std::string_view name) {
  const auto found = matching_values(settings, std::vector<std::string_view>{name});
  return found.empty() ? "(none)" : found[0].second;
}

Result<Settings> change(const Settings& settings, const std::vector<std::string_view>& pairs) {
  return change_settings(settings, pairs);
}

std::string change_error(const std::vector<std::string_view>& pairs) {
  const Result<Settings> changed = change(*settings_of_words({}), pairs);
  return changed ? "" : changed.error().message;
}

}  // namespace

BOOST_AUTO_TEST_CASE(nothing_given_is_a_server_on_6379_in_data) {
  const Result<Settings> settings = settings_of_words({});
  BOOST_REQUIRE(settings.ok());
  BOOST_TEST(settings->port == 6379);
  BOOST_TEST(settings->directory == std::filesystem::absolute("data").string());
  BOOST_TEST(settings->shards == 1u);
  BOOST_TEST((settings->append_fsync == Fsync::kEverySecond));
  BOOST_TEST(settings->cache_memory == 4 * kGibibyte);
  BOOST_TEST(settings->dirty_memory == kGibibyte);
  BOOST_TEST(settings->io_threads >= 1u);
  BOOST_TEST(settings->io_threads <= 8u);
}

BOOST_AUTO_TEST_CASE(little_memory_is_divided_too) {
  Configuration configuration;
  const Result<Settings> settings = configuration.settings(256 << 20);
  BOOST_REQUIRE(settings.ok());
  BOOST_TEST(settings->cache_memory == 128u << 20);
  BOOST_TEST(settings->dirty_memory == 64u << 20);
}

BOOST_AUTO_TEST_CASE(lines_comments_quotes_and_units) {
  const Result<Settings> settings = settings_of_text(
      "# comment\n\n   \t\n  maxclients\t 321  \nTIMEOUT 12\nmaxclients 322\nrequirepass 'sin gle'\n"
      "client-query-buffer-limit 2MB\nslowlog-max-len 55\r\nunixsocketperm 770\nlogfile \"a\\x20b\"");
  BOOST_REQUIRE(settings.ok());
  BOOST_TEST(settings->max_clients == 322u);
  BOOST_TEST(settings->timeout_s == 12);
  BOOST_TEST(settings->require_pass == "sin gle");
  BOOST_TEST(settings->query_buffer_limit == 2u << 20);
  BOOST_TEST(settings->slowlog_max_len == 55u);
  BOOST_TEST(settings->unix_socket_mode == 0770u);
  BOOST_TEST(settings->log_file == settings->directory + "/a b");
}

BOOST_AUTO_TEST_CASE(errors_name_file_line_and_directive) {
  BOOST_TEST(error_of_text("# first\n\nnosuch 1\n") == "test.conf:3: nosuch: unknown directive");
  BOOST_TEST(error_of_text("maxclients abc") == "test.conf:1: maxclients: argument couldn't be parsed into an integer");
  BOOST_TEST(error_of_text("maxclients") == "test.conf:1: maxclients: wrong number of arguments");
  BOOST_TEST(error_of_text("timeout 1 2") == "test.conf:1: timeout: wrong number of arguments");
  BOOST_TEST(error_of_text("requirepass \"a") == "test.conf:1: unbalanced quotes: requirepass \"a");
  BOOST_TEST(error_of_text("port 99999") == "test.conf:1: port: argument must be between 0 and 65535 inclusive");
  BOOST_TEST(error_of_text("consistency nothing").starts_with("test.conf:1: consistency: unknown consistency level"));
  BOOST_TEST(error_of_text("user default off") == "test.conf:1: user: not supported");
  BOOST_TEST(error_of_text("tls-port 1234") == "test.conf:1: tls-port: not supported");
  BOOST_TEST(error_of_text("resolve a* lua") == "test.conf:1: resolve: scripts are not supported");
}

BOOST_AUTO_TEST_CASE(tls_between_nodes_needs_its_files) {
  const Result<Settings> settings = settings_of_text(
      "dir /data\ntls-cluster yes\ntls-cert-file n1.pem\ntls-key-file /keys/n1.pem\n"
      "tls-key-file-pass \"a word\"\ntls-ca-cert-file ca.pem\n");
  BOOST_REQUIRE_MESSAGE(settings.ok(), why(settings));
  BOOST_TEST(settings->tls_cluster);
  BOOST_TEST(settings->tls.cert_file == "/data/n1.pem");
  BOOST_TEST(settings->tls.key_file == "/keys/n1.pem");
  BOOST_TEST(settings->tls.key_password == "a word");
  BOOST_TEST(settings->tls.ca_cert_file == "/data/ca.pem");
  BOOST_TEST(value(*settings, "tls-cert-file") == "n1.pem");
  const auto error_of = [](const std::string& text) { return why(settings_of_text(text)); };
  const std::string without = "tls-cluster yes\n";
  BOOST_TEST(error_of(without) == "tls-cluster yes needs tls-cert-file");
  BOOST_TEST(error_of(without + "tls-cert-file a\n") == "tls-cluster yes needs tls-key-file");
  BOOST_TEST(error_of(without + "tls-cert-file a\ntls-key-file b\n") == "tls-cluster yes needs tls-ca-cert-file");
  // Files alone are no wish.
  BOOST_TEST(!settings_of_text("tls-cert-file a\n")->tls_cluster);
  for (const char* const name :
       {"tls-cluster", "tls-cert-file", "tls-key-file", "tls-key-file-pass", "tls-ca-cert-file"}) {
    BOOST_TEST(change_error({name, "no"}) == "ERR CONFIG SET failed (possibly related to argument '" +
                                                 std::string(name) + "') - can't set immutable config");
  }
}

BOOST_AUTO_TEST_CASE(a_file_that_is_not_there_is_an_error) {
  BOOST_TEST(settings_of_words({"/nonexistent/x.conf"}).error().message ==
             "cannot open /nonexistent/x.conf: No such file or directory");
}

BOOST_AUTO_TEST_CASE(the_command_line_comes_after_the_file) {
  const Directory directory;
  const std::string path = directory.write("test.conf", "timeout 12\nport 7000\n");
  const Result<Settings> settings =
      settings_of_words({path, "--timeout", "15", "--slowlog-log-slower-than", "-1", "--save", "", "--bind",
                         "127.0.0.1", "::1", "--consistency", "\"session:*\" eventual w=1", "--consistency", "local"});
  BOOST_REQUIRE(settings.ok());
  BOOST_TEST(settings->timeout_s == 15);
  BOOST_TEST(settings->port == 7000);
  BOOST_TEST(settings->slowlog_slower_than_us == -1);
  BOOST_TEST((settings->bind == std::vector<std::string>{"127.0.0.1", "::1"}));
  BOOST_TEST(settings->config_file == path);
  BOOST_TEST((settings->levels.fallback().level == Level::kLocal));
  BOOST_REQUIRE(settings->levels.match("session:1") != nullptr);
  BOOST_TEST(settings->levels.match("session:1")->write.number == 1u);
  BOOST_TEST(settings_of_words({"--maxclients"}).error().message == "--maxclients: wrong number of arguments");
  BOOST_TEST(settings_of_words({"--port", "1", "x"}).error().message == "--port: wrong number of arguments");
}

BOOST_AUTO_TEST_CASE(files_include_others) {
  const Directory directory;
  directory.write("a.inc", "maxclients 111\n");
  directory.write("b.inc", "timeout 7\n");
  const Result<Settings> settings = settings_of_words(
      {directory.write("test.conf", "maxclients 100\ninclude " + directory.path() + "/*.inc\nport 7001\n")});
  BOOST_REQUIRE(settings.ok());
  BOOST_TEST(settings->max_clients == 111u);
  BOOST_TEST(settings->timeout_s == 7);
  BOOST_TEST(settings->port == 7001);

  const std::string loop = directory.write("loop.conf", "include " + directory.path() + "/loop.conf\n");
  BOOST_TEST(!settings_of_words({loop}));
  BOOST_TEST(!settings_of_words({directory.write("x.conf", "include /nonexistent/y.conf\n")}));
}

BOOST_AUTO_TEST_CASE(what_means_nothing_here_is_told) {
  Configuration configuration;
  const std::vector<std::string_view> words = {"--hz", "20", "--rdbcompression", "no", "--port", "1"};
  BOOST_REQUIRE(configuration.read_arguments(words).ok());
  BOOST_TEST((configuration.without_meaning() == std::vector<std::string_view>{"hz", "rdbcompression"}));
}

BOOST_AUTO_TEST_CASE(get_matches_names_and_aliases) {
  const Settings settings = *settings_of_words({});
  const auto names = [&](const std::vector<std::string_view>& patterns) {
    std::set<std::string> found;
    for (const auto& [name, text] : matching_values(settings, patterns)) BOOST_TEST(found.insert(name).second);
    return found;
  };
  BOOST_TEST((names({"MAXCLIENTS"}) == std::set<std::string>{"MAXCLIENTS"}));
  BOOST_TEST((names({"maxclients", "maxcl*"}) == std::set<std::string>{"maxclients"}));
  BOOST_TEST((names({"list-max-*"}) == std::set<std::string>{"list-max-listpack-size", "list-max-ziplist-size"}));
  BOOST_TEST(names({"nosuch", ""}).empty());
  BOOST_TEST(names({"rename-command", "user"}).empty());
}

BOOST_AUTO_TEST_CASE(set_changes_all_or_nothing) {
  const Settings settings = *settings_of_words({});
  const Result<Settings> changed = change(settings, {"timeout", "100", "slowlog-max-len", "64"});
  BOOST_REQUIRE(changed.ok());
  BOOST_TEST(changed->timeout_s == 100);
  BOOST_TEST(changed->slowlog_max_len == 64u);
  BOOST_TEST(value(*changed, "timeout") == "100");
  BOOST_TEST(!change(settings, {"timeout", "5", "maxclients", "abc"}));
  BOOST_TEST(change_error({"nosuch", "1"}) == "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'");
  const std::string failed = "ERR CONFIG SET failed (possibly related to argument ";
  BOOST_TEST(change_error({"timeout", "1", "timeout", "2"}) == failed + "'timeout') - duplicate parameter");
  BOOST_TEST(change_error({"databases", "5"}) == failed + "'databases') - can't set immutable config");
  BOOST_TEST(change_error({"dir", "x"}) == failed + "'dir') - can't set protected config");
  BOOST_TEST(change_error({"port", "7777"}) == failed + "'port') - it is fixed when the server starts");
  BOOST_TEST(change_error({"port", "6379"}) == "");
  BOOST_TEST(change_error({"appendonly", "yes"}) == "");
  BOOST_TEST(change_error({"appendonly", "no"}).starts_with(failed + "'appendonly')"));
  BOOST_TEST(change_error({"cache-memory", "64mb", "dirty-memory", "128mb"}) ==
             failed + "'cache-memory') - dirty-memory must not exceed cache-memory");
}

BOOST_AUTO_TEST_CASE(set_replaces_rules_and_merges_output_limits) {
  Result<Settings> changed =
      change(*settings_of_words({"--consistency", "local"}), {"consistency", "eventual w=2 ; \"s:*\" strong"});
  BOOST_REQUIRE(changed.ok());
  BOOST_TEST((changed->levels.fallback().level == Level::kEventual));
  BOOST_TEST(changed->levels.patterns().size() == 1u);
  BOOST_TEST(value(*changed, "consistency") == "eventual w=2 ; s:* strong");
  BOOST_TEST((change(*changed, {"consistency", value(*changed, "consistency")})->levels.patterns() ==
              changed->levels.patterns()));
  changed = change(*changed, {"client-output-buffer-limit", "replica 1mb 1kb 5"});
  BOOST_REQUIRE(changed.ok());
  BOOST_TEST(value(*changed, "client-output-buffer-limit") ==
             "normal 0 0 0 slave 1048576 1024 5 pubsub 33554432 8388608 60");
}

BOOST_AUTO_TEST_CASE(rewriting_keeps_comments_and_order) {
  const std::string text =
      "# kept\nmaxclients 500\n\ntimeout 100\ninclude /x.conf\nmaxclients 400\nconsistency local\n";
  DirectiveValues values = default_values();
  const auto set = [&values](std::string_view name, std::string_view text_of_value) {
    values[directive_number(*find_directive(name))] = text_of_value;
  };
  set("maxclients", "600");
  set("timeout", "0");
  set("requirepass", "quo\"te \\ and \x01");
  set("consistency", "strong ; local ; \"a b\" eventual w=1");
  const std::string expected =
      "# kept\nmaxclients 600\n\ntimeout 0\ninclude /x.conf\n"
      "consistency strong\nconsistency local\nconsistency \"a b\" eventual w=1\n"
      "# Generated by CONFIG REWRITE\nrequirepass \"quo\\\"te \\\\ and \\x01\"\n";
  BOOST_TEST(rewritten(text, values) == expected);
  BOOST_TEST(rewritten(expected, values) == expected);
}

BOOST_AUTO_TEST_CASE(what_was_rewritten_reads_the_same) {
  const Settings before =
      *change(*settings_of_words({"--requirepass", "a b\n", "--bind", "127.0.0.1 -::1", "--io-threads", "3"}),
              {"client-output-buffer-limit", "normal 1 2 3", "resolve", "a* max", "cache-memory", "1gb", "save",
               "60 1 10 100"});
  const Settings after = *settings_of_text(rewritten("", before.values));
  BOOST_TEST(before.values == after.values, boost::test_tools::per_element());
}

// ---- the files of conf/

BOOST_AUTO_TEST_CASE(the_annotated_file_says_what_the_defaults_are) {
  const std::string path = CAPSTAN_SOURCE_DIR "/conf/capstan.conf";
  const std::string text = read(path);
  const Result<Settings> plain = settings_of_words({path});
  BOOST_REQUIRE_MESSAGE(plain.ok(), why(plain));
  // Every directive that is commented out is one, and stands with its default or, where it is an example, with words
  // that are right.
  const std::set<std::string> examples = {"cluster", "consistency", "resolve", "rename-command", "io-threads"};
  std::set<std::string> named;
  const DirectiveValues defaults = default_values();
  for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    const std::string line = text.substr(at, text.find('\n', at) - at);
    if (!line.starts_with("# ") || line.starts_with("#  ")) continue;
    const auto words = split_words(std::string_view(line).substr(2));
    const Directive* const directive = words ? find_directive((*words)[0]) : nullptr;
    if (directive == nullptr || directive->name != (*words)[0]) continue;
    named.insert(std::string(directive->name));
    const std::string& initial = defaults[directive_number(*directive)];
    const std::vector<std::string_view> views = views_of(*words);
    const Result<std::string> parsed = parse_value(*directive, std::span(views).subspan(1), initial, false);
    BOOST_TEST(parsed.ok(), line);
    const bool directory = directive->name == "dir";
    if (parsed && !directory && !examples.contains((*words)[0])) BOOST_TEST(parsed.value() == initial, line);
  }
  for (const Directive& directive : own_directives()) {
    BOOST_TEST(named.contains(std::string(directive.name)), std::string(directive.name) + " is not explained");
  }
}

BOOST_AUTO_TEST_CASE(the_three_nodes_are_one_cluster) {
  std::optional<cluster::Nodes> first;
  for (const std::string name : {"n1", "n2", "n3"}) {
    const Result<Settings> settings = settings_of_words({CAPSTAN_SOURCE_DIR "/conf/three-nodes/" + name + ".conf"});
    BOOST_REQUIRE_MESSAGE(settings.ok(), why(settings));
    BOOST_REQUIRE(settings->cluster);
    BOOST_TEST(settings->cluster->me == name);
    BOOST_TEST(settings->cluster->self().port == settings->port);
    BOOST_TEST(settings->cluster->all.size() == 3u);
    if (!first) first = settings->cluster;
    BOOST_TEST((settings->cluster->all == first->all));
  }
}

BOOST_AUTO_TEST_CASE(the_configuration_of_debian_is_taken) {
  const std::string path = "/etc/redis/redis.conf";
  if (!std::filesystem::exists(path)) return;  // redis-tests/ starts a server with it where it is installed
  const Result<Settings> settings = settings_of_words({path});
  BOOST_TEST(settings.ok(), why(settings));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
