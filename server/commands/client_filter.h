// Which connections CLIENT KILL and CLIENT LIST mean. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace capstan {

class Session;

// No connection here is a master's or a replica's.
enum class ClientType : uint8_t { kNormal, kPubsub, kReplication };

struct ClientFilter {
  std::optional<std::string> address;
  std::optional<std::string> local_address;
  std::optional<std::string> user;
  std::vector<uint64_t> ids;  // empty: any
  std::optional<ClientType> type;
  bool skip_me = true;

  bool matches(const Session& session, uint64_t me) const;
};

// normal, master, slave, replica, pubsub; nullopt if it is no client type.
std::optional<ClientType> parse_client_type(std::string_view word);

}  // namespace capstan
