// SAVE, BGSAVE, LASTSAVE: a durable checkpoint. Everything is durable by the journal already; a checkpoint flushes it
// to LMDB, so that the next start has nothing to read from the journal.
#include <memory>
#include <string>

#include "server/log.h"
#include "server/node.h"
#include "server/text.h"
#include "server/worker.h"

namespace capstan {
namespace {

// Of one checkpoint; touched on the worker that began it.
struct Checkpoint {
  uint32_t left = 0;  // shards
  Result<> result;
  std::function<void(Worker&, const Result<>&)> done;
};

void end_shard(Worker& caller, Checkpoint& checkpoint, const Result<>& result) {
  if (!result) checkpoint.result = result;
  if (--checkpoint.left > 0) return;
  if (!checkpoint.result) log_warning("a checkpoint failed: " + checkpoint.result.error().message);
  caller.node().end_save(checkpoint.result.ok(), caller.now_ms());
  checkpoint.done(caller, checkpoint.result);
}

void begin_checkpoint(Worker& caller, std::function<void(Worker&, const Result<>&)> done) {
  auto checkpoint = std::make_shared<Checkpoint>();
  checkpoint->left = caller.settings().shards;
  checkpoint->done = std::move(done);
  caller.on_every_worker(
      [checkpoint, caller_index = caller.index()](Worker& worker) {
        for (const auto& shard : worker.executor().shards()) {
          shard->checkpoint([checkpoint, caller_index, &worker](const Result<>& result) {
            worker.post(caller_index, [checkpoint, result](Worker& self) { end_shard(self, *checkpoint, result); });
          });
        }
      },
      [](Worker&) {});
}

Outcome reply_in_progress(Call& call) { return reply_error(call, "ERR Background save already in progress"); }

Outcome save(Call& call) {
  if (!call.node->begin_save()) return reply_in_progress(call);
  const LaterReply later(*call.session);
  begin_checkpoint(call.session->worker, [later](Worker&, const Result<>& result) {
    resp::OutputBuffer out;
    resp::Writer writer(out, later.protocol());
    if (result) {
      writer.ok();
    } else {
      writer.error("ERR the checkpoint failed: " + result.error().message);
    }
    later.send(out.view());
  });
  return Outcome::kLater;
}

Outcome bgsave(Call& call) {
  const bool scheduled = call.args.size() == 2 && same_word(call.args[1], "schedule");
  if (call.args.size() > 1 && !scheduled) return reply_syntax_error(call);
  if (!call.node->begin_save()) return reply_in_progress(call);
  begin_checkpoint(call.session->worker, [](Worker&, const Result<>&) {});
  call.reply().simple("Background saving started");
  return Outcome::kDone;
}

Outcome lastsave(Call& call) {
  call.reply().integer(call.node->last_save_ms() / 1000);
  return Outcome::kDone;
}

constexpr CommandSpec kCommands[] = {
    {.name = "bgsave",
     .arity = -1,
     .flags = kAdmin | kNoscript | kNoAsyncLoading,
     .run = bgsave,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(N) for N changed rows",
     .summary = "Begins to flush everything to LMDB",
     .syntax = "[SCHEDULE]"},
    {.name = "lastsave",
     .arity = 1,
     .flags = kLoading | kStale | kFast,
     .run = lastsave,
     .categories = "admin dangerous",
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Replies the Unix time of the last SAVE or BGSAVE that ended well",
     .tips = "nondeterministic_output"},
    {.name = "save",
     .arity = 1,
     .flags = kAdmin | kNoscript | kNoAsyncLoading | kNoMulti | kAfterOthers,
     .run = save,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(N) for N changed rows",
     .summary = "Flushes everything to LMDB, and replies when that is durable"},
};

}  // namespace

std::span<const CommandSpec> saving_commands() { return kCommands; }

}  // namespace capstan
