// Which connections CLIENT KILL and CLIENT LIST mean. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace capstan {

class Session;

struct ClientFilter {
  std::optional<std::string> address;
  std::optional<std::string> local_address;
  std::optional<std::string> user;
  std::vector<uint64_t> ids;  // empty: any
  // The only type that connections have here is normal; master, replica and pubsub match none.
  bool other_type = false;
  bool skip_me = true;

  bool matches(const Session& session, uint64_t me) const;
};

// normal, master, slave, replica, pubsub: true if it is a client type; `normal` tells which.
bool parse_client_type(std::string_view word, bool& normal);

}  // namespace capstan
