// What a command sees and does while it is evaluated: a view of the shard's keyspace as the record under construction
// has left it so far, and the net effect that it builds. Commands never touch the keyspace, the journal or LMDB.
//
// Reading hides keys whose TTL has passed (and, at STRONG, makes the record remove them: model, "Expiry"). Writing adds
// to the net effect; it shows in later reads of the same record (MULTI, MSET k 1 k 2), and nowhere else before the
// record is proposed. Views returned by reads are valid until the next write to that key or the end of the record.
// Belongs to the shard's worker.
#pragma once

#include <absl/functional/function_ref.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/ids.h"
#include "lmdb-store/inline_elements.h"
#include "lmdb-store/keyspace.h"
#include "quorum/effects.h"
#include "quorum/number.h"
#include "quorum/record.h"
#include "server/pending.h"
#include "server/state_elements.h"

namespace capstan {

struct KeyRef {
  KeyRef(Database in, std::string_view key) : database(in), name(key), hash(hash64(key)) {}
  Database database;
  std::string_view name;
  uint64_t hash;  // hash64(name)
};

enum class Lookup {
  kMissing,  // no such key
  kFound,
  kWrongType,    // WRONGTYPE
  kNotResident,  // part of it is on disk only: the command returns Outcome::kFetch and is run again when it is there
};

// A key that a scan met.
struct Scanned {
  std::string_view key;
  ElementKind kind = ElementKind::kString;
};

// An element of a collection. Ids are members, fields and positions; a sorted set's value is its score, 8 bytes.
struct Element {
  std::string_view id;
  std::string_view value;
};

struct CollectionRead {
  Lookup lookup = Lookup::kMissing;
  uint64_t size = 0;  // of elements, if it is a collection of the kind that was asked for
};

struct StringRead {
  Lookup lookup = Lookup::kMissing;
  std::string_view value;  // empty unless found
};

class Evaluation {
 public:
  explicit Evaluation(lmdb_store::Keyspace& keyspace) : keyspace_(keyspace) {}

  // What a leader's pending records leave of keys: strong records are evaluated on it. nullptr: there is no such thing
  // (one voter). Outlives this.
  void set_pending(PendingKeys* pending) { pending_keys_ = pending; }

  // Starts a record. strong: expired keys that are met are removed by the record. now_ms: the later of the node's own
  // clock and the record's stamp. head: dot, stamp and context that the record will have if it has an effect.
  void begin(bool strong, int64_t now_ms, const RecordHead& head);

  // The time of the record, with which TTLs are compared and from which relative ones count. An expiry at or before it
  // must not be set: it would lie before the version's own stamp and not count (model, "Expiry"); remove the key
  // instead.
  int64_t now_ms() const { return now_ms_; }

  // --- any key
  // False: the key's row is not in memory, return kFetch. Only for keys that the command's KeyPositions do not name (in
  // another database); the rows of the others are there.
  bool resident(const KeyRef& key);
  bool exists(const KeyRef& key) { return kind(key).has_value(); }
  // The visible type; nullopt if there is no such key.
  std::optional<ElementKind> kind(const KeyRef& key);
  // Unix time in ms, or kNeverExpires (also for a missing key).
  int64_t expire_at_ms(const KeyRef& key);
  // 0 for a missing key. Changes with every change of the key (WATCH, VERSION).
  uint64_t digest(const KeyRef& key);
  // Seconds since the key was last used, by a command that counts as use.
  uint32_t idle_s(const KeyRef& key);
  // Bytes of memory that the key takes while it is in the row table.
  uint64_t memory_bytes(const KeyRef& key);
  // Read without counting as use (TOUCH, OBJECT, TTL …): holds until the next begin().
  void without_use() { use_ = false; }

  // Removes the key with everything in it; false if there was none.
  bool remove(const KeyRef& key);
  // Sets the TTL (Unix time in ms), or removes it with kNeverExpires. Precondition: exists(key).
  void set_expiry(const KeyRef& key, int64_t expire_at_ms);
  // Makes `to` what `from` is, TTL included; `to` is replaced whole. Precondition: exists(from). kFound when done,
  // kNotResident if `from` is not in memory whole.
  Lookup copy(const KeyRef& from, const KeyRef& to);
  // Removes every key of the database.
  void clear(Database database);

  // --- the keyspace
  // Keys of the database; those that have expired count until they are removed.
  uint64_t count(Database database);
  // Appends the live keys from `cursor` on, in the key order: at least `count` positions are looked at if there are so
  // many. `cursor` (53 bits: slot, then 39 bits of hash) moves to where to go on; 0 is both the start and the end. A
  // key that is there from the first call to the last is met exactly once. Views are valid until the next call of this
  // object. kFound, or kNotResident: nothing appended.
  Lookup scan(Database database, uint64_t& cursor, size_t count, std::vector<Scanned>& out);
  // A live key drawn at random; kMissing if there is none. The view is valid until the next call of this object.
  Lookup random_key(Database database, std::string_view& key);

  // --- strings
  // The whole value.
  StringRead string(const KeyRef& key);
  // Length in bytes, in `size`; 0 for a missing key.
  Lookup string_size(const KeyRef& key, uint64_t& size);
  // At most `size` bytes from `offset`, clipped to the value; cheap also for values of many chunks.
  StringRead string_range(const KeyRef& key, uint64_t offset, uint64_t size);
  // Replaces the key, whatever it was; its TTL goes, or stays with keep_ttl. The value must outlive the record: views
  // of the command's arguments do; what the command computed goes through keep().
  void set_string(const KeyRef& key, std::string_view value, bool keep_ttl = false);
  // Writes bytes at offset of the string, padding with zero bytes; creates it where missing; keeps the TTL. A splice
  // where the model allows one, else a put. Precondition: the key is missing or a string. kNotResident: nothing done.
  Lookup splice(const KeyRef& key, uint64_t offset, std::string_view bytes);
  // Adds to the string's number (an amend, or an additive put where it is missing); keeps the TTL. `sum` is the value
  // afterwards, as the caller computed it; it is copied where it is needed. Precondition: missing or a string that is a
  // number.
  Lookup add(const KeyRef& key, const Number& addend, std::string_view sum);

  // --- collections: hashes, sets, lists, sorted sets, by their elements' kind
  CollectionRead collection(const KeyRef& key, ElementKind kind);
  // Precondition of these: collection() gave kFound or kMissing since the last change.
  std::optional<std::string_view> element(const KeyRef& key, std::string_view id);
  // From 0, in for_each_element()'s order, which lasts until the next change. Precondition: there are as many.
  Element element_at(const KeyRef& key, uint64_t rank);
  void for_each_element(const KeyRef& key, absl::FunctionRef<void(const Element&)> f);
  // Puts elements, makes the key if need be; its TTL stays. Returns how many different ids among them this record had
  // not put. What is passed must outlive the record (keep()). Precondition: the key is missing or a collection of that
  // kind.
  uint64_t put_elements(const KeyRef& key, ElementKind kind, std::span<const Element> elements);
  // Removes elements, and with the last one the key. Preconditions: they are there; each id once; they outlive the
  // record.
  void remove_elements(const KeyRef& key, ElementKind kind, std::span<const std::string_view> ids);
  // A random number below that one, alike likely.
  uint64_t draw(uint64_t below);

  // A copy of bytes that lives as long as the record.
  std::string_view keep(std::string_view bytes) { return effects_.keep(bytes); }

  // --- for the shard
  // Keys that were looked up, there or not, since the last call.
  struct Lookups {
    uint32_t hits = 0;
    uint32_t misses = 0;
  };
  Lookups take_lookups() { return std::exchange(lookups_, {}); }
  // Something that it read was pending.
  bool saw_pending() const { return saw_pending_; }
  Effects& effects() { return effects_; }
  lmdb_store::Keyspace& keyspace() { return keyspace_; }
  // Rows that reads met and that are not in memory; filled when a command returns kFetch.
  std::vector<lmdb_store::WantedRow>& missing_rows() { return missing_; }
  // Reads rows on this thread instead of asking for kFetch: for commands that cannot be run again (MULTI).
  void read_at_once(bool yes) { at_once_ = yes; }

 private:
  // What is known of one key; reads of the same key come in rows (exists, kind, string).
  struct Sight {
    const char* name = nullptr;  // of the key it is valid for
    size_t size = 0;
    Database database = 0;
    bool resident = true;
    bool exists = false;
    bool lingers = false;  // expired, hidden, and not removed by the record
    bool whole = false;    // state is what counts, else form, or collection_form
    bool collection = false;
    bool shown = false;  // states
    ElementKind kind = ElementKind::kString;
    int64_t expire_at_ms = kNeverExpires;
    lmdb_store::TableRow* row = nullptr;  // in memory, whatever the record does to it; nullptr if absent
    lmdb_store::StringForm form;
    lmdb_store::CollectionForm collection_form;
    std::optional<lmdb_store::InlineElements> small;  // collection_form's
    KeyState state;
    StateElements states;  // state's
  };

  lmdb_store::ElementsReader& elements(Sight& sight);
  std::string_view value(const lmdb_store::ElementView& element, ElementKind kind);
  Hlc expiry_stamp(const Sight& sight) const;
  const Sight& see(const KeyRef& key);
  void see_row(const KeyRef& key);
  void see_state(const KeyRef& key, const KeyState* pending, const KeyEffect* effect);
  bool in_keyspace(const KeyRef& key, bool cleared);
  Lookup random_pending_key(Database database, std::string_view& key);
  void hide_if_expired(const KeyRef& key, bool expired);
  bool read(const lmdb_store::TableRow& row, KeyState& out);
  bool read_chunks(const lmdb_store::StringForm& form, uint64_t offset, uint64_t size, std::string& out);
  const ElementState* text(const Sight& sight) const { return sight.state.find(ElementKind::kString); }
  RecordHead head() const { return {dot_, stamp_, *context_}; }
  void forget() { sight_.name = nullptr; }
  void put_string(const KeyRef& key, std::string_view value, bool additive);
  void put_expiry(const KeyRef& key, int64_t expire_at_ms, std::optional<Hlc> stamp);
  void repeat_expiry(const KeyRef& key, const Sight& sight);
  void begin_life(const KeyRef& key, const Sight& sight);
  // The version that an amend changes; number 0 if the model wants a put.
  Dot anchor(const Sight& sight, bool for_splice) const;
  std::string& scratch() { return scratch_.emplace_back(); }

  lmdb_store::Keyspace& keyspace_;
  PendingKeys* pending_keys_ = nullptr;
  PendingKeys* pending_ = nullptr;  // of this record
  bool saw_pending_ = false;
  Effects effects_;
  Dot dot_;
  Hlc stamp_;
  const Clock* context_ = nullptr;
  bool strong_ = true;
  bool use_ = true;
  bool at_once_ = false;
  int64_t now_ms_ = 0;
  uint64_t draws_ = 0;
  Sight sight_;
  Lookups lookups_;
  std::vector<lmdb_store::WantedRow> missing_;
  std::string joined_;               // a value that value_of() had to put together, until the next one
  std::deque<std::string> scratch_;  // what reads had to put together, until the next begin()
  std::vector<lmdb_store::Keyspace::ScannedKey> scanned_;
};

}  // namespace capstan
