// What the tests of the stores share.
#pragma once

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "lmdb-store/lmdb_environment.h"
#include "lmdb-store/store.h"

namespace capstan::lmdb_store {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "store_test.XXXXXX").string();
    BOOST_REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path); }
  std::string path;
};

inline std::unique_ptr<LmdbEnvironment> open_environment(const std::string& directory,
                                                         const LmdbEnvironment::Options& options = {}) {
  auto environment = LmdbEnvironment::open(directory, options);
  if (!environment.ok()) BOOST_FAIL(environment.error().message);
  return std::move(*environment);
}

using Entries = std::map<std::string, std::string>;

inline std::unique_ptr<ReadView> view_of(Store& store) {
  auto view = store.read();
  BOOST_REQUIRE(view.ok());
  return std::move(*view);
}

inline std::unique_ptr<WriteBatch> batch_of(Store& store, uint64_t expected_bytes = 0) {
  auto batch = store.write(expected_bytes);
  BOOST_REQUIRE(batch.ok());
  return std::move(*batch);
}

inline void put_all(Store& store, Table table, const Entries& entries) {
  auto batch = batch_of(store);
  for (const auto& [key, value] : entries) BOOST_REQUIRE(batch->put(table, key, value).ok());
  BOOST_REQUIRE(batch->commit().ok());
}

inline Entries all_of(ReadView& view, Table table) {
  Entries entries;
  auto cursor = view.cursor(table);
  for (bool more = cursor->seek(""); more; more = cursor->next()) entries.emplace(cursor->key(), cursor->value());
  return entries;
}

// All but the rows that a store keeps for itself.
inline Entries rows_of(Store& store, Table table) { return all_of(*view_of(store), table); }

inline std::string numbered(uint64_t number) {
  std::string digits = std::to_string(number);
  return std::string(12 - digits.size(), '0') + digits;
}

inline bool has(ReadView& view, Table table, std::string_view key, std::string_view value) {
  return view.get(table, key) == std::optional<std::string_view>(value);
}

}  // namespace capstan::lmdb_store
