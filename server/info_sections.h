// INFO's sections: Redis 7.0's with its names of fields, as far as there is something true to say, and ours.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "server/memory_use.h"
#include "server/node_report.h"
#include "server/settings.h"
#include "server/topology.h"

namespace capstan {

class Node;

class InfoText {
 public:
  void title(std::string_view title) {
    if (!text_.empty()) text_.append("\r\n");
    text_.append("# ").append(title).append("\r\n");
  }
  void field(std::string_view name, std::string_view value) {
    text_.append(name).append(":").append(value).append("\r\n");
  }
  template <typename T>
  requires std::is_arithmetic_v<T>
  void field(std::string_view name, T value) { field(name, std::string_view(std::to_string(value))); }
  void real(std::string_view name, double value, int digits = 2) { field(name, format(value, digits)); }
  // The field, and <name>_human: "1.50M".
  void bytes(std::string_view name, uint64_t value);
  const std::string& text() const { return text_; }

  static std::string format(double value, int digits);
  static std::string human(uint64_t bytes);

 private:
  std::string text_;
};

struct InfoContext {
  Node& node;
  const Settings& settings;
  const NodeReport& report;
  const Topology& topology;
  MemoryUse memory;
  int64_t now_ms = 0;
};

struct InfoSection {
  std::string_view name;
  std::string_view title;
  bool by_default = true;
  void (*write)(InfoText& text, const InfoContext& context) = nullptr;
};

// In the order in which INFO writes them.
std::span<const InfoSection> info_sections();

// info_process.cc: the process and what it runs on.
void write_server(InfoText& text, const InfoContext& context);
void write_memory(InfoText& text, const InfoContext& context);
void write_cpu(InfoText& text, const InfoContext& context);
// info_cluster.cc: the shards' groups, and what of them Redis has words for.
void write_replication(InfoText& text, const InfoContext& context);
void write_replication(InfoText& text, const Topology& topology, std::string_view run_id);
void write_cluster(InfoText& text, const InfoContext& context);
void write_raft(InfoText& text, const InfoContext& context);
void write_raft(InfoText& text, const Topology& topology);
// info_storage.cc: data and durability.
void write_persistence(InfoText& text, const InfoContext& context);
void write_journal(InfoText& text, const InfoContext& context);
void write_lmdb(InfoText& text, const InfoContext& context);
void write_shards(InfoText& text, const InfoContext& context);
void write_keyspace(InfoText& text, const InfoContext& context);

}  // namespace capstan
