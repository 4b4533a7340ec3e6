// Redis' names of the types of keys (TYPE, SCAN's TYPE).
#pragma once

#include <string_view>

#include "quorum/record.h"

namespace capstan {

constexpr std::string_view kind_name(ElementKind kind) {
  switch (kind) {
    case ElementKind::kString:
      return "string";
    case ElementKind::kField:
      return "hash";
    case ElementKind::kMember:
      return "set";
    case ElementKind::kScore:
      return "zset";
    case ElementKind::kPosition:
      return "list";
    case ElementKind::kEntry:
      return "stream";
    case ElementKind::kTtl:
      return "none";
  }
  return "none";
}

}  // namespace capstan
