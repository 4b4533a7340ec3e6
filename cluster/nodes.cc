#include "cluster/nodes.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "base/check.h"
#include "resp/inline.h"

namespace capstan::cluster {
namespace {

constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxHostBytes = 253;  // of a name in the DNS
constexpr size_t kMaxSecretBytes = 1024;
constexpr std::string_view kAboutNames = " is no name: 1 to 64 letters, digits, '.', '_' or '-'";

using Words = std::vector<std::string_view>;

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool made_of_names(std::string_view text) { return std::all_of(text.begin(), text.end(), is_name_byte); }

bool is_ipv6(const std::string& text) {
  in6_addr address;
  return inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

std::optional<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc() || stop != end || port == 0) return std::nullopt;
  return port;
}

Error invalid(std::string why) { return Error{ErrorCode::kInvalid, std::move(why)}; }
std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

// Reads the lines one after the other. What is wrong with one is said without its text; parse_nodes() adds that.
class Reader {
 public:
  Result<> read(std::string_view line) {
    Words words;
    std::string unescaped;
    if (!resp::split_inline(line, words, unescaped)) return invalid("a quote is not closed");
    if (words.empty() || words[0].starts_with('#')) return {};
    if (words[0] == "node") return read_node(words);
    if (words.size() != 2) return invalid(quoted(words[0]) + " takes one word");
    if (words[0] == "me") return read_once(me_, words[1]);
    if (words[0] == "name") return read_once(cluster_name_, words[1]);
    if (words[0] == "secret") return read_secret(words[1]);
    if (words[0] == "replicas") return read_replicas(words[1]);
    return invalid(quoted(words[0]) + " is not known here; it may be me, node, name, replicas or secret");
  }

  Result<Nodes> finish() {
    std::sort(nodes_.all.begin(), nodes_.all.end(), [](const Node& a, const Node& b) { return a.name < b.name; });
    if (!me_) return invalid("no line says which node this is; add \"me <name>\"");
    nodes_.me = *me_;
    if (nodes_.find(nodes_.me) == nullptr)
      return invalid("no \"node\" line lists " + nodes_.me + ", which is this node");
    if (cluster_name_) nodes_.cluster_name = *cluster_name_;
    if (secret_) nodes_.secret = *secret_;
    if (replicas_) nodes_.replicas = *replicas_;
    return std::move(nodes_);
  }

 private:
  static Result<> read_once(std::optional<std::string>& value, std::string_view text) {
    if (!is_name(text)) return invalid(quoted(text) + std::string(kAboutNames));
    if (value) return invalid("it was said before");
    value = text;
    return {};
  }

  Result<> read_secret(std::string_view text) {
    if (text.empty() || text.size() > kMaxSecretBytes) return invalid("the secret must have 1 to 1024 bytes");
    if (secret_) return invalid("it was said before");
    secret_ = text;
    return {};
  }

  Result<> read_replicas(std::string_view text) {
    uint32_t count = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, count);
    if (error != std::errc() || stop != end || count == 0 || count > kMaxNodes) {
      return invalid(quoted(text) + " is no number from 1 to 1024");
    }
    if (replicas_) return invalid("it was said before");
    replicas_ = count;
    return {};
  }

  Result<> read_node(const Words& words) {
    if (words.size() < 3 || words.size() % 2 == 0) {
      return invalid("it should be: node <name> <host>:<port> [cluster-port <port>] [zone <zone>]");
    }
    if (!is_name(words[1])) return invalid(quoted(words[1]) + std::string(kAboutNames));
    Node node;
    node.name = words[1];
    if (Result<> read = read_address(words[2], node); !read) return read;
    for (size_t at = 3; at < words.size(); at += 2) {
      if (Result<> read = read_option(words[at], words[at + 1], node); !read) return read;
    }
    if (Result<> complete = choose_cluster_port(node); !complete) return complete;
    return add(std::move(node));
  }

  static Result<> read_address(std::string_view text, Node& node) {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return invalid("the port is missing in " + quoted(text));
    const std::optional<uint16_t> port = parse_port(text.substr(colon + 1));
    if (!port) return invalid(quoted(text.substr(colon + 1)) + " is no port from 1 to 65535");
    node.port = *port;
    std::string_view host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) {
      node.host = host.substr(1, host.size() - 2);
      return is_ipv6(node.host) ? Result<>() : invalid(quoted(node.host) + " is no IPv6 address");
    }
    if (host.find(':') != std::string_view::npos) {
      return invalid("an IPv6 address stands in brackets, as in [::1]:7001");
    }
    node.host = host;
    if (host.empty() || host.size() > kMaxHostBytes || !made_of_names(host)) {
      return invalid(quoted(host) + " is neither an address nor the name of a host");
    }
    return {};
  }

  static Result<> read_option(std::string_view name, std::string_view value, Node& node) {
    if (name == "zone") {
      if (!node.zone.empty()) return invalid("it has two zones");
      if (!is_zone(value)) return invalid(quoted(value) + " is no zone, as \"dc1\" or \"dc1/rack2\" is");
      node.zone = value;
      return {};
    }
    if (name != "cluster-port") {
      return invalid(quoted(name) + " is not known of a node; it may be cluster-port or zone");
    }
    const std::optional<uint16_t> port = parse_port(value);
    if (node.cluster_port != 0) return invalid("it has two cluster ports");
    if (!port) return invalid(quoted(value) + " is no port from 1 to 65535");
    node.cluster_port = *port;
    return {};
  }

  static Result<> choose_cluster_port(Node& node) {
    if (node.cluster_port == 0) {
      if (node.port > std::numeric_limits<uint16_t>::max() - kClusterPortOffset) {
        return invalid("its port + 10000 is above 65535; add \"cluster-port <port>\"");
      }
      node.cluster_port = static_cast<uint16_t>(node.port + kClusterPortOffset);
    }
    if (node.cluster_port == node.port) return invalid("its port and its cluster port are the same");
    return {};
  }

  Result<> add(Node node) {
    if (nodes_.all.size() == kMaxNodes) return invalid("there are more than 1024 nodes");
    for (const Node& other : nodes_.all) {
      if (other.name == node.name) return invalid("there are two nodes " + node.name);
      if (other.host != node.host) continue;
      for (const uint16_t port : {node.port, node.cluster_port}) {
        if (port != other.port && port != other.cluster_port) continue;
        return invalid("it has the address " + node.host + ", port " + std::to_string(port) + ", as " + other.name +
                       " does");
      }
    }
    nodes_.all.push_back(std::move(node));
    return {};
  }

  Nodes nodes_;
  std::optional<std::string> me_;
  std::optional<std::string> cluster_name_;
  std::optional<std::string> secret_;
  std::optional<uint32_t> replicas_;
};

}  // namespace

const Node* Nodes::find(std::string_view name) const {
  const auto found = std::lower_bound(all.begin(), all.end(), name,
                                      [](const Node& node, std::string_view wanted) { return node.name < wanted; });
  return found == all.end() || found->name != name ? nullptr : &*found;
}

const Node& Nodes::self() const {
  const Node* const found = find(me);
  CHECK(found != nullptr);
  return *found;
}

bool is_zone(std::string_view text) {
  const size_t slash = text.find('/');
  return is_name(text.substr(0, slash)) && (slash == std::string_view::npos || is_name(text.substr(slash + 1)));
}

bool is_name(std::string_view text) { return !text.empty() && text.size() <= kMaxNameBytes && made_of_names(text); }

Result<Nodes> parse_nodes(std::span<const std::string> lines) {
  Reader reader;
  for (const std::string& line : lines) {
    const Result<> read = reader.read(line);
    if (read) continue;
    // Lines of other kinds may be a secret.
    const std::string shown = line.starts_with("node ") ? line : line.substr(0, line.find(' '));
    return invalid("cluster " + shown + ": " + read.error().message);
  }
  Result<Nodes> nodes = reader.finish();
  return nodes ? std::move(nodes) : invalid("cluster: " + nodes.error().message);
}

}  // namespace capstan::cluster
