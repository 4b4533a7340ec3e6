#include "server/connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "server/finishing_transaction.h"
#include "server/worker.h"

namespace capstan {

Connection::Connection(Worker& worker, int descriptor, uint64_t id)
    : session(*this, worker, id), parser(worker.limits()), worker_(worker), descriptor_(descriptor) {
  read_event_ = event_new(worker.base(), descriptor, EV_READ | EV_PERSIST, &Connection::on_readable, this);
  CHECK(read_event_ != nullptr);
  want_reads(true);
}

Connection::~Connection() {
  event_free(read_event_);
  if (write_event_ != nullptr) event_free(write_event_);
  close(descriptor_);
}

// ---- input

void Connection::on_readable(evutil_socket_t, short, void* self) { static_cast<Connection*>(self)->receive(); }

void Connection::receive() {
  if (dead_) return;
  if (!input_.empty() || !takes_commands()) return receive_into_own(parser.needed());
  const std::span<char> room = worker_.receive_room();
  const ssize_t bytes = recv(descriptor_, room.data(), room.size(), 0);
  if (received(bytes)) worker_.add_received(*this, static_cast<size_t>(bytes));
}

// Appends to the bytes that wait already: the rest of a command, in place however large it is, or what comes while no
// command is taken.
void Connection::receive_into_own(size_t wanted) {
  if (!takes_commands() && input_.size() >= kReadAhead) return want_reads(false);
  const size_t room = std::max(wanted, kReadAhead);
  const ssize_t bytes = recv(descriptor_, input_.prepare(room), room, 0);
  if (!received(bytes)) return;
  input_.commit(static_cast<size_t>(bytes));
  if (input_.size() > worker_.settings().query_buffer_limit) {
    worker_.counters().query_buffer_disconnections.add();
    return close_now();
  }
  resume();
}

bool Connection::received(ssize_t result) {
  if (result > 0) [[likely]] {
    worker_.counters().net_input_bytes.add(static_cast<uint64_t>(result));
    session.last_interaction_ms = worker_.now_ms();
    return true;
  }
  if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return false;
  if (result < 0) {
    close_now();
  } else {
    end_of_input();
  }
  return false;
}

// The client sends no more, but may still read: what it sent is done and answered before the connection is closed.
void Connection::end_of_input() {
  ended_ = true;
  want_reads(false);
  resume();
  give_up_waiting();
}

// Nobody can tell a client that only sends no more from one that is gone, so nothing waits for it without an end.
void Connection::give_up_waiting() {
  if (session.blocked) session.blocked->unblock(false);
}

void Connection::notice_hangup() {
  pollfd state{descriptor_, POLLRDHUP, 0};
  if (reading_ || dead_ || poll(&state, 1, 0) <= 0) return;
  if ((state.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return close_now();
  if ((state.revents & POLLRDHUP) != 0) give_up_waiting();
}

void Connection::process(std::string_view bytes) {
  if (dead_) return;
  const size_t done = worker_.dispatcher().process(*this, bytes);
  if (done < bytes.size() && (session.flags & kClosing) == 0) input_.append(bytes.substr(done));
}

void Connection::resume() {
  if (dead_ || !takes_commands()) return;
  want_reads(!ended_);
  if (!input_.empty()) {
    const size_t done = worker_.dispatcher().process(*this, input_.view());
    input_.consume((session.flags & kClosing) != 0 ? input_.size() : done);
  }
  if (!ended_) return;
  if (!takes_commands()) return give_up_waiting();
  // At once where nothing is left to say, so that its place is free for whoever comes in this turn.
  if (output_.empty() && outstanding() == 0) return close_now();
  close_after_output();
}

void Connection::want_reads(bool wanted) {
  if (reading_ == wanted) return;
  reading_ = wanted;
  CHECK((wanted ? event_add(read_event_, nullptr) : event_del(read_event_)) == 0);
}

// ---- the order of replies

resp::OutputBuffer& Connection::begin_reply_slowly() { return worker_.reply_scratch(); }

void Connection::end_reply_slowly() {
  resp::OutputBuffer& reply = worker_.reply_scratch();
  if ((session.flags & (kReplyOff | kReplySkip)) == 0 && !reply.empty()) {
    if (places_.empty()) {
      output_.append(reply.view());
    } else {
      places_.emplace_back();
      places_.back().ready = true;
      keep(places_.back(), reply.view());
    }
  }
  reply.clear();
}

void Connection::keep(Place& place, std::string_view reply) {
  place.bytes.append(reply);
  place_bytes_ += reply.size();
}

uint64_t Connection::open_place() {
  places_.emplace_back();
  places_.back().discard = (session.flags & (kReplyOff | kReplySkip)) != 0;
  return next_place() - 1;
}

void Connection::gather_at(uint64_t number, std::unique_ptr<Gather> gather) {
  place(number).gather = std::move(gather);
}

void Connection::override_at(uint64_t number, std::string reply) { place(number).override_reply = std::move(reply); }

void Connection::account_at(uint64_t number, Unaccounted command) {
  place(number).unaccounted = std::make_unique<Unaccounted>(std::move(command));
}

void Connection::finish_at(uint64_t number, std::unique_ptr<FinishingTransaction> finishing) {
  place(number).finishing = std::move(finishing);
}

FinishingTransaction* Connection::finishing_at(uint64_t number) { return place(number).finishing.get(); }

void Connection::deliver(uint64_t number, uint32_t part, std::string_view reply, uint64_t weight) {
  if (dead_ || number < first_place_ || number >= next_place()) return;
  Place& target = place(number);
  if (target.finishing) return continue_transaction(*this, number, reply);
  if (target.gather) {
    if (!target.gather->add(part, reply, weight)) return;
    resp::OutputBuffer joined;
    target.gather->write(joined);
    return fill(number, joined.view());
  }
  fill(number, reply);
}

void Connection::fill(uint64_t number, std::string_view reply) {
  Place& target = place(number);
  CHECK(!target.ready);
  if (!target.override_reply.empty() && !reply.starts_with('-')) reply = target.override_reply;
  if (const Unaccounted* const command = target.unaccounted.get()) {
    worker_.account(*command->spec, command->arguments.words(), command->elapsed_ns, reply, session.id,
                    worker_.index());
  }
  target.ready = true;
  if (number != first_place_) {
    if (!target.discard) keep(target, reply);
  } else {
    if (!target.discard) output_.append(reply);
    move_ready_places();
    worker_.list_output(*this);
  }
  if (output_bytes() > worker_.hard_output_bytes(session.has(kSubscribed))) check_output_limit(worker_.now_ms());
}

// The first place is ready and its bytes are out.
void Connection::move_ready_places() {
  const bool was_full = too_much_outstanding();
  do {
    Place& first = places_[head_];
    place_bytes_ -= first.bytes.size() + first.pushed.size();
    output_.append(first.bytes.view());
    output_.append(first.pushed);
    first = Place();
    ++head_;
    ++first_place_;
  } while (head_ < places_.size() && places_[head_].ready);
  if (head_ == places_.size()) {
    places_.clear();
    head_ = 0;
    outstanding_bytes_ = 0;
    session.set(kStalled, false);
    if (!input_.empty() || !reading_) worker_.resume_later(*this);
    return;
  }
  if (head_ > places_.size() / 2) {
    places_.erase(places_.begin(), places_.begin() + static_cast<ptrdiff_t>(head_));
    head_ = 0;
  }
  if (was_full && takes_commands()) worker_.resume_later(*this);
}

void Connection::push(std::string_view bytes) {
  if (dead_) return;
  if (outstanding() > 0) {
    places_.back().pushed.append(bytes);
    place_bytes_ += bytes.size();
  } else {
    output_.append(bytes);
    worker_.list_output(*this);
  }
  if (output_bytes() > worker_.hard_output_bytes(session.has(kSubscribed))) check_output_limit(worker_.now_ms());
}

// ---- sending

// Not at once: the output may have got replies of this turn, which wait for the journal.
void Connection::on_writable(evutil_socket_t, short, void* self) {
  auto* const connection = static_cast<Connection*>(self);
  connection->worker_.list_output(*connection);
}

void Connection::send() {
  if (dead_) return;
  size_t left = held_.empty() ? output_.size() : static_cast<size_t>(released_ - sent_);
  if (left > 0) {
    const ssize_t bytes = ::send(descriptor_, output_.view().data(), left, MSG_NOSIGNAL);
    if (bytes < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return close_now();
    if (bytes > 0) {
      output_.consume(static_cast<size_t>(bytes));
      sent_ += static_cast<uint64_t>(bytes);
      left -= static_cast<size_t>(bytes);
      worker_.counters().net_output_bytes.add(static_cast<uint64_t>(bytes));
    }
  }
  want_writes(left > 0);
  if (session.has(kClosing) && output_.empty() && outstanding() == 0) return close_now();
  if (left > 0) check_output_limit(worker_.now_ms());
}

void Connection::want_writes(bool wanted) {
  if (writing_ == wanted) return;
  writing_ = wanted;
  if (write_event_ == nullptr) {
    write_event_ = event_new(worker_.base(), descriptor_, EV_WRITE | EV_PERSIST, &Connection::on_writable, this);
    CHECK(write_event_ != nullptr);
  }
  CHECK((wanted ? event_add(write_event_, nullptr) : event_del(write_event_)) == 0);
}

void Connection::hold(lmdb_store::Position position) {
  const uint64_t end = sent_ + output_.size();
  if (held_.empty()) released_ = sent_;
  if (held_.empty() || held_.back().end < end) held_.push_back({position, end});
}

bool Connection::release(lmdb_store::Position synced) {
  const auto waiting =
      std::find_if(held_.begin(), held_.end(), [synced](const Held& h) { return h.position > synced; });
  if (waiting == held_.begin()) return false;
  released_ = (waiting - 1)->end;
  // While something is held, no more than what was released leaves: the output may have got replies of this turn.
  send();
  held_.erase(held_.begin(), waiting);
  // What came behind it in turns that needed no sync (appendfsync was changed) has waited for it, too.
  if (held_.empty() && !output_.empty()) worker_.list_output(*this);
  return held_.empty();
}

// ---- limits and the end

void Connection::close_after_output() {
  session.set(kClosing);
  worker_.unsubscribe_all(*this);
  worker_.list_output(*this);
}

void Connection::close_now() {
  if (dead_) return;
  dead_ = true;
  session.set(kClosing);
  want_reads(false);
  if (writing_) want_writes(false);
  worker_.retire(*this);
}

void Connection::check_limits(int64_t now_ms) {
  const int64_t timeout_ms = worker_.settings().timeout_s * 1000;
  const bool waits_for_us = (session.flags & (kMonitoring | kSubscribed | kPostponed)) != 0 || outstanding() > 0;
  if (timeout_ms > 0 && !waits_for_us && now_ms - session.last_interaction_ms > timeout_ms) return close_now();
  notice_hangup();
  check_output_limit(now_ms);
}

void Connection::check_output_limit(int64_t now_ms) {
  const Settings& settings = worker_.settings();
  const OutputLimit& limit = session.has(kSubscribed) ? settings.output_limit_pubsub : settings.output_limit_normal;
  const size_t bytes = output_bytes();
  const bool over_hard = limit.hard_bytes != 0 && bytes > limit.hard_bytes;
  const bool over_soft = limit.soft_bytes != 0 && bytes > limit.soft_bytes;
  if (!over_soft) {
    over_soft_limit_since_ms_ = 0;
  } else if (over_soft_limit_since_ms_ == 0) {
    over_soft_limit_since_ms_ = now_ms;
  }
  const bool too_long = over_soft && now_ms - over_soft_limit_since_ms_ > limit.soft_seconds * 1000;
  if (!over_hard && !too_long) return;
  worker_.counters().output_buffer_disconnections.add();
  close_now();
}

}  // namespace capstan
