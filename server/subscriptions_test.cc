#include "server/subscriptions.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <map>
#include <set>

#include "base/random.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(subscriptions_test)

namespace {

using Names = std::vector<std::string>;

// Some subscribers with names for them; what a publication reaches is written as "a", or "a by pattern".
struct Clients {
  Subscriptions subscriptions;
  std::map<std::string, Subscriber> all;

  Subscriber& of(const std::string& name) { return all.try_emplace(name, nullptr).first->second; }
  bool add(const std::string& client, TopicKind kind, std::string_view name) {
    return subscriptions.add(of(client), kind, name);
  }
  bool remove(const std::string& client, TopicKind kind, std::string_view name) {
    return subscriptions.remove(of(client), kind, name);
  }
  const std::string& name_of(const Subscriber& subscriber) const {
    return std::find_if(all.begin(), all.end(), [&](const auto& each) { return &each.second == &subscriber; })->first;
  }
  // In the order of the calls, but for those of one name or pattern, which are sorted.
  Names reached(std::string_view channel, bool sharded = false) const {
    std::vector<std::pair<const Topic*, std::string>> seen;
    subscriptions.for_each_receiver(channel, sharded, [&](const Subscriber& subscriber, const Topic* pattern) {
      seen.emplace_back(pattern, name_of(subscriber));
    });
    for (auto from = seen.begin(); from != seen.end();) {
      const auto to = std::find_if(from, seen.end(), [&](const auto& each) { return each.first != from->first; });
      std::sort(from, to);
      from = to;
    }
    Names names;
    for (const auto& [pattern, name] : seen) names.push_back(pattern == nullptr ? name : name + " by " + pattern->name);
    return names;
  }
  Names topics(TopicKind kind) const {
    Names names;
    subscriptions.for_each_topic(kind, [&](const Topic& topic) { names.push_back(topic.name); });
    std::sort(names.begin(), names.end());
    return names;
  }
};

Names sorted(Names names) {
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

BOOST_AUTO_TEST_CASE(nobody_listens_at_first) {
  Clients clients;
  BOOST_TEST(clients.subscriptions.empty());
  BOOST_TEST(clients.reached("news").empty());
  BOOST_TEST(clients.subscriptions.find(TopicKind::kChannel, "news") == nullptr);
  BOOST_TEST(clients.of("a").idle());
  BOOST_TEST(!clients.remove("a", TopicKind::kChannel, "news"));
  BOOST_TEST(clients.subscriptions.remove_all(clients.of("a"), TopicKind::kChannel).empty());
}

BOOST_AUTO_TEST_CASE(a_channel_reaches_those_who_named_it) {
  Clients clients;
  BOOST_TEST(clients.add("a", TopicKind::kChannel, "news"));
  BOOST_TEST(!clients.add("a", TopicKind::kChannel, "news"));
  BOOST_TEST(clients.add("b", TopicKind::kChannel, "news"));
  BOOST_TEST(clients.add("b", TopicKind::kChannel, ""));
  BOOST_TEST(clients.reached("news") == (Names{"a", "b"}));
  BOOST_TEST(clients.reached("") == Names{"b"});
  BOOST_TEST(clients.reached("new").empty());
  BOOST_TEST(clients.reached("news", true).empty());
  BOOST_TEST(clients.of("b").count(TopicKind::kChannel) == 2u);
  BOOST_TEST(clients.subscriptions.find(TopicKind::kChannel, "news")->subscribers.size() == 2u);
}

BOOST_AUTO_TEST_CASE(the_name_comes_before_patterns_and_each_reason_counts) {
  Clients clients;
  clients.add("a", TopicKind::kPattern, "n*");
  clients.add("a", TopicKind::kPattern, "*");
  clients.add("a", TopicKind::kChannel, "news");
  clients.add("b", TopicKind::kPattern, "n*");
  const Names reached = clients.reached("news");
  BOOST_TEST(reached.front() == "a");
  BOOST_TEST(sorted(reached) == (Names{"a", "a by *", "a by n*", "b by n*"}));
  BOOST_TEST(clients.reached("other") == Names{"a by *"});
}

BOOST_AUTO_TEST_CASE(shard_channels_are_a_world_of_their_own) {
  Clients clients;
  clients.add("a", TopicKind::kShardChannel, "news");
  clients.add("a", TopicKind::kPattern, "*");
  clients.add("b", TopicKind::kChannel, "news");
  BOOST_TEST(clients.reached("news", true) == Names{"a"});
  BOOST_TEST(clients.reached("news") == (Names{"b", "a by *"}));
  clients.remove("a", TopicKind::kChannel, "news");
  BOOST_TEST(clients.reached("news", true) == Names{"a"});
}

BOOST_AUTO_TEST_CASE(the_empty_channel_has_a_pattern_of_its_own) {
  Clients clients;
  clients.add("a", TopicKind::kPattern, "*");
  BOOST_TEST(clients.reached("").empty());
  clients.add("a", TopicKind::kPattern, "");
  BOOST_TEST(clients.reached("") == Names{"a by "});
  BOOST_TEST(clients.reached("x") == Names{"a by *"});
}

BOOST_AUTO_TEST_CASE(a_topic_is_gone_with_its_last_subscriber) {
  Clients clients;
  clients.add("a", TopicKind::kChannel, "news");
  clients.add("b", TopicKind::kChannel, "news");
  clients.add("b", TopicKind::kPattern, "n*");
  BOOST_TEST(clients.remove("a", TopicKind::kChannel, "news"));
  BOOST_TEST(clients.of("a").idle());
  BOOST_TEST(clients.topics(TopicKind::kChannel) == Names{"news"});
  BOOST_TEST(clients.subscriptions.count(TopicKind::kChannel) == 1u);
  clients.subscriptions.remove_all(clients.of("b"));
  BOOST_TEST(clients.of("b").idle());
  BOOST_TEST(clients.subscriptions.empty());
  BOOST_TEST(clients.subscriptions.find(TopicKind::kChannel, "news") == nullptr);
}

BOOST_AUTO_TEST_CASE(all_of_a_kind_are_removed_by_name) {
  Clients clients;
  for (const char* const name : {"x", "y", "z"}) clients.add("a", TopicKind::kChannel, name);
  clients.add("a", TopicKind::kPattern, "x");
  clients.add("b", TopicKind::kChannel, "y");
  BOOST_TEST(sorted(clients.subscriptions.remove_all(clients.of("a"), TopicKind::kChannel)) == (Names{"x", "y", "z"}));
  BOOST_TEST(clients.of("a").count(TopicKind::kChannel) == 0u);
  BOOST_TEST(clients.of("a").count(TopicKind::kPattern) == 1u);
  BOOST_TEST(clients.topics(TopicKind::kChannel) == Names{"y"});
}

// Against sets of pairs, through many changes.
BOOST_AUTO_TEST_CASE(random_changes_agree_with_a_list) {
  Random random(7);
  Clients clients;
  std::set<std::pair<std::string, std::string>> channels, patterns;
  for (int step = 0; step < 20000; ++step) {
    const std::string client(1, static_cast<char>('a' + random.below(5)));
    const bool is_pattern = random.below(2) == 0;
    const TopicKind kind = is_pattern ? TopicKind::kPattern : TopicKind::kChannel;
    auto& expected = is_pattern ? patterns : channels;
    const std::string name = "t" + std::to_string(random.below(8)) + (is_pattern ? "*" : "");
    if (random.below(50) == 0) {
      clients.subscriptions.remove_all(clients.of(client), kind);
      std::erase_if(expected, [&](const auto& each) { return each.first == client; });
    } else if (random.below(2) == 0) {
      BOOST_TEST(clients.add(client, kind, name) == expected.emplace(client, name).second);
    } else {
      BOOST_TEST(clients.remove(client, kind, name) == (expected.erase({client, name}) == 1));
    }
    Names wanted;
    for (const auto& [who, topic] : channels) {
      if (topic == "t3") wanted.push_back(who);
    }
    for (const auto& [who, topic] : patterns) {
      if (topic == "t3*") wanted.push_back(who + " by t3*");
    }
    BOOST_TEST(sorted(clients.reached("t3")) == sorted(wanted));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
