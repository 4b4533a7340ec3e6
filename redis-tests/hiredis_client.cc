// A program of the black-box suites: hiredis, blocking and asynchronous, against the server on the port given.

#include <event2/event.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "FAIL %s\n", what.c_str());
  std::exit(1);
}

void expect(bool condition, const std::string& what) {
  if (!condition) fail(what);
}

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

Reply reply_of(redisContext* context, void* reply) {
  if (!reply) fail(std::string("no reply: ") + context->errstr);
  return Reply(static_cast<redisReply*>(reply));
}

std::string text(const redisReply& reply) { return std::string(reply.str, reply.len); }

void blocking_commands(redisContext* context) {
  const std::string binary("\0\xff\r\n", 4);
  auto set = reply_of(context, redisCommand(context, "SET %s %b", "hiredis", binary.data(), binary.size()));
  expect(set->type == REDIS_REPLY_STATUS && text(*set) == "OK", "SET");
  auto get = reply_of(context, redisCommand(context, "GET hiredis"));
  expect(get->type == REDIS_REPLY_STRING && text(*get) == binary, "GET");
  expect(reply_of(context, redisCommand(context, "GET missing"))->type == REDIS_REPLY_NIL, "GET of nothing");
  auto error = reply_of(context, redisCommand(context, "INCR hiredis"));
  expect(error->type == REDIS_REPLY_ERROR && text(*error) == "ERR value is not an integer or out of range", "error");
  auto length = reply_of(context, redisCommand(context, "STRLEN hiredis"));
  expect(length->type == REDIS_REPLY_INTEGER && length->integer == 4, "STRLEN");
  auto many = reply_of(context, redisCommand(context, "MGET hiredis missing"));
  expect(many->type == REDIS_REPLY_ARRAY && many->elements == 2, "MGET");
  expect(many->element[1]->type == REDIS_REPLY_NIL, "MGET of nothing");
}

void pipelined_commands(redisContext* context, int count) {
  for (int i = 0; i < count; i++) redisAppendCommand(context, "SET pipelined:%d %d", i, i);
  for (int i = 0; i < count; i++) redisAppendCommand(context, "GET pipelined:%d", i);
  for (int i = 0; i < 2 * count; i++) {
    void* raw = nullptr;
    expect(redisGetReply(context, &raw) == REDIS_OK, "pipelined reply");
    auto reply = reply_of(context, raw);
    expect(text(*reply) == (i < count ? "OK" : std::to_string(i - count)), "order of pipelined replies");
  }
}

void transaction(redisContext* context) {
  for (const char* command : {"MULTI", "SET tx 1", "INCR tx", "EXEC"}) redisAppendCommand(context, command);
  Reply last;
  for (int i = 0; i < 4; i++) {
    void* raw = nullptr;
    expect(redisGetReply(context, &raw) == REDIS_OK, "reply in a transaction");
    last = reply_of(context, raw);
  }
  expect(last->type == REDIS_REPLY_ARRAY && last->elements == 2 && last->element[1]->integer == 2, "EXEC");
}

struct Progress {
  int expected = 1;
  int count = 0;
  bool failed = false;
};

void on_reply(redisAsyncContext* context, void* raw, void* data) {
  auto* progress = static_cast<Progress*>(data);
  auto* reply = static_cast<redisReply*>(raw);
  if (!reply || reply->type != REDIS_REPLY_INTEGER || reply->integer != progress->expected) progress->failed = true;
  if (progress->expected++ == progress->count || progress->failed) redisAsyncDisconnect(context);
}

void asynchronous_commands(int port, int count) {
  event_base* base = event_base_new();
  redisAsyncContext* context = redisAsyncConnect("127.0.0.1", port);
  expect(context && !context->err, "asynchronous connection");
  redisLibeventAttach(context, base);
  Progress progress;
  progress.count = count;
  redisAsyncCommand(context, nullptr, nullptr, "DEL asynchronous");
  for (int i = 0; i < count; i++) redisAsyncCommand(context, on_reply, &progress, "INCR asynchronous");
  event_base_dispatch(base);
  event_base_free(base);
  expect(!progress.failed && progress.expected == count + 1, "asynchronous replies in order");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) fail("usage: redis-tests-hiredis PORT");
  const int port = std::atoi(argv[1]);
  redisContext* context = redisConnect("127.0.0.1", port);
  if (!context || context->err) fail("connect");
  blocking_commands(context);
  pipelined_commands(context, 10000);
  transaction(context);
  redisFree(context);
  asynchronous_commands(port, 20000);
  std::puts("done");
  return 0;
}
