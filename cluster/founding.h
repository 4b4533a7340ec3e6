// How the nodes of a new cluster agree, once, on who its first voters are. A voter is a disk, not a machine: a node
// that lost its disk has forgotten its votes, and must never vote again as the voter that it was. So each disk has a
// life, a random number, and the founding document names the life of every node of the list. A node whose disk holds no
// document is newborn. Each node says what its disk holds, when a link comes up and when it has changed:
//
//   founding 1 newborn <life> [promised <life>]
//   founding 1 founded <life> replicas <count> founders <count> (<node>[@<zone>] <life>)…
//
// Each is a RESP array of bulk strings; "1" is the version of this grammar, numbers are decimal. Pairs of a name and a
// value that a reader does not know are skipped (the founders come last), and so is a message of a third kind.
//
// The document is made by the first node, the one with the lowest name:
//   1. The others promise it, durably, to take no document but that of its present life.
//   2. Once all are connected and have promised on this very connection, it makes the document of their lives and its
//      own, saves it and says so.
//   3. Who gets the document saves it and says so in turn: it spreads even if the first node is gone by then.
// A first node that lost its disk asks for new promises. It may be that others hold a document by then. If so it hears
// of it from them, for it needs them all; it takes that one for its own, and by saying so frees those who promised. So
// a newborn node takes a document if its maker has its promise, or if the first node says it; the first node takes any.
//
// Hence disks never hold two documents at the same time: when another one is made, all who held the old one have lost
// their disks, and all others have promised not to take it any more. It would not do to be newborn when one says so:
// that may have changed before it is heard.
//
// A node whose life is not in the document is a stranger: it has to be added to the cluster as a new member.
//
// The document also says what decides which of the founders hold which shards: their zones and the number of replicas,
// as the first node was configured. Were each node to go by its own configuration, one mistake would found a shard
// twice, with different voters.
//
// All this rests on one list of nodes. Whoever changes it before all are founded must see to it that those who are left
// out are gone for good.
//
// A pure state machine: no I/O, no clock, no randomness. Any thread, one at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cluster/nodes.h"
#include "consensus/configuration.h"

namespace capstan::cluster {

// Of a disk: random, never kNoPeer, durable before anything is sent. It is the node's identity in Raft groups.
using LifeId = consensus::PeerId;

struct Founder {
  std::string node;
  LifeId life = consensus::kNoPeer;
  std::string zone;
  bool operator==(const Founder&) const = default;
};
// The founding document.
struct Document {
  std::vector<Founder> founders;  // in order of names: its maker is the first
  uint32_t replicas = 0;          // of each shard, if there are so many founders

  bool empty() const { return founders.empty(); }  // there is none
  bool operator==(const Document&) const = default;
};

// What a node's disk holds.
struct Identity {
  LifeId life = consensus::kNoPeer;
  LifeId promised = consensus::kNoPeer;  // of a newborn node: the first node's life, whose document alone it takes
  Document document;
  bool operator==(const Identity&) const = default;
};

// The text of the file that holds it:
//   capstan identity 1
//   life <life>
//   promised <life>           (if it has)
//   replicas <count>          (if there is a document)
//   founder <node>[@<zone>] <life>     (one line each)
//   checksum <16 hexadecimal digits: hash64 of all before this line>
std::string identity_text(const Identity& identity);
// kCorrupt: damaged; kInvalid: undamaged, of another version.
Result<Identity> parse_identity(std::string_view text);
// kInvalid: the document says that this disk is another node's.
Result<> check_identity(const Identity& identity, std::string_view node);

class Founding {
 public:
  enum class State : uint8_t { kNewborn, kFounded, kStranger };
  // One message for several nodes. Those that are connected no more need it no more.
  struct Messages {
    std::vector<std::string> receivers;  // in order of their names
    std::string bytes;
  };
  static constexpr std::string_view kFoundingMessage = "founding";

  // `nodes` has to outlive it. Precondition: nodes.me is in the list; the disk has a life and passes check_identity().
  Founding(const Nodes& nodes, Identity disk);

  // The link to a node, as links.h tells of it: they alternate, and messages come in between.
  void up(std::string_view node);
  void down(std::string_view node);
  // Takes a message. kInvalid: it is malformed or must not be, nothing has changed, and the link is to be reset; the
  // error says for the log what is wrong.
  Result<> receive(std::string_view node, std::span<const std::string_view> words);
  // Of a stranger: the cluster has made it a member. From now on its disk too tells that there is a cluster; else, once
  // no founder's disk is left, the members would found another one.
  void admit();

  // What has to be made durable before saved() is called; the same until then. nullptr: nothing.
  const Identity* to_save() const { return next_ ? &*next_ : nullptr; }
  void saved();
  // What is to be sent, taken out. Never promises what is not durable.
  Messages take_messages();

  // As the disk has it, except that a stranger may know of the document by hearsay.
  State state() const;
  LifeId own() const { return disk_.life; }
  // Of a newborn node: empty.
  const Document& document() const { return disk_.document.empty() ? hearsay_ : disk_.document; }
  // The life of a connected node as it said on this connection, founder or not. kNoPeer: not known.
  LifeId life_of(std::string_view node) const;
  // Of a newborn node, for people: those without whom it does not go on. In order of names.
  std::vector<std::string_view> waiting_for() const;

 private:
  struct Peer {
    std::string_view name;
    bool connected = false;
    bool owed = false;    // it is to be told what the disk holds
    bool agrees = false;  // it said the very document that this node holds or is about to
    Identity said;        // last, on this connection; its document only while this node has none
  };

  const Peer& peer(std::string_view node) const;
  Peer& peer(std::string_view node) { return const_cast<Peer&>(std::as_const(*this).peer(node)); }
  bool is_first() const { return nodes_.all.front().name == nodes_.me; }
  bool may_take(const Peer& from) const;
  bool names_own_life(const Document& document) const;
  // Held, or on its way to the disk.
  const Document& own_document() const { return next_ && !next_->document.empty() ? next_->document : disk_.document; }
  Document make_document() const;
  Result<> judge(const Peer& from, const Identity& said) const;
  void advance();
  void save(LifeId promised, Document document);

  const Nodes& nodes_;
  Identity disk_;
  std::optional<Identity> next_;  // on its way to the disk
  Document hearsay_;              // a document that this node is not in and that its disk may not hold
  bool admitted_ = false;
  std::vector<Peer> peers_;  // all but this node, in order of names
};

}  // namespace capstan::cluster
