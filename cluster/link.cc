#include "cluster/link.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "resp/writer.h"

namespace capstan::cluster {
namespace {

// Of a message that is not complete, at least so much is received at once.
constexpr size_t kReadBytes = 64 << 10;
constexpr char kArray = '*';

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

Error protocol_error(std::string what) { return Error{ErrorCode::kInvalid, std::move(what)}; }

event* make_event(event_base* base, int descriptor, short what, event_callback_fn callback, void* link) {
  event* const made = event_new(base, descriptor, what, callback, link);
  CHECK(made != nullptr);
  return made;
}

}  // namespace

Link::Link(event_base* base, Owner& owner, const LinkLimits& limits, Channel channel, State state, std::string where,
           Handshake handshake)
    : owner_(owner),
      limits_(limits),
      channel_(std::move(channel)),
      state_(state),
      where_(std::move(where)),
      handshake_(std::move(handshake)),
      read_event_(make_event(base, channel_.descriptor(), EV_READ | EV_PERSIST, &Link::on_readable, this)),
      write_event_(make_event(base, channel_.descriptor(), EV_WRITE | EV_PERSIST, &Link::on_writable, this)),
      deadline_(make_event(base, -1, 0, &Link::on_deadline, this)),
      parser_limits_{.max_bulk_bytes = limits.max_message_bytes},
      received_(parser_limits_),
      pieced_(parser_limits_) {
  received_.parser.set_authenticated(false);
  const timeval timeout{limits.handshake_timeout_ms / 1000, limits.handshake_timeout_ms % 1000 * 1000};
  CHECK(event_add(deadline_, &timeout) == 0);
  if (state_ == State::kConnecting) {
    want_writes(true);
  } else {
    CHECK(event_add(read_event_, nullptr) == 0);
  }
}

Link::~Link() {
  for (event* const each : {read_event_, write_event_, deadline_}) event_free(each);
}

void Link::close(const Error& why) {
  if (dead()) return;
  for (event* const each : {read_event_, write_event_, deadline_}) CHECK(event_del(each) == 0);
  channel_.close();
  owner_.on_broken(*this, why);
}

// What there is to say about a connection that ended for a reason of no interest by itself.
Error Link::ended(Error why) const {
  if (state_ == State::kConnecting || proven() || why.code == ErrorCode::kInvalid) return why;
  const Error unfinished = channel_.handshaking() ? channel_.unfinished() : handshake_.unfinished();
  return Error{ErrorCode::kInvalid, why.message + ": " + unfinished.message};
}

// ---- the handshake

void Link::on_deadline(evutil_socket_t, short, void* self) {
  auto* const link = static_cast<Link*>(self);
  link->close(link->ended(Error{ErrorCode::kIo, "no answer in time"}));
}

void Link::finish_connecting() {
  int error = 0;
  socklen_t size = sizeof error;
  CHECK(getsockopt(channel_.descriptor(), SOL_SOCKET, SO_ERROR, &error, &size) == 0);
  if (error != 0) return close(system_error(error, "cannot connect"));
  state_ = State::kConnected;
  want_writes(false);
  CHECK(event_add(read_event_, nullptr) == 0);
  handshake_.begin(urgent_);  // sent at the end of this turn
}

void Link::advance_handshake(size_t bytes) {
  handshake_bytes_ += bytes;
  handshake_.bind(channel_.binding());
  const Result<> taken = handshake_.receive(received_.words, urgent_);
  if (!taken) return close(taken.error());
  if (!handshake_.done()) return;
  CHECK(event_del(deadline_) == 0);
  received_.parser.set_authenticated(true);
  owner_.on_proven(*this);
}

// ---- receiving

void Link::on_readable(evutil_socket_t, short, void* self) {
  auto* const link = static_cast<Link*>(self);
  do {
    link->receive();
  } while (!link->dead() && link->channel_.holds_more());
}

void Link::receive() {
  if (!received_.input.empty()) return receive_into_own();
  const std::span<char> room = owner_.receive_room();
  const ssize_t bytes = channel_.receive(room);
  if (!received(bytes)) return;
  const std::string_view input(room.data(), static_cast<size_t>(bytes));
  const size_t done = process(received_, input);
  if (!dead()) received_.input.append(input.substr(done));
}

// The rest of a message that is not complete, in place however large it is.
void Link::receive_into_own() {
  resp::OutputBuffer& input = received_.input;
  const size_t wanted = proven() ? std::max(received_.parser.needed(), kReadBytes) : kMaxHandshakeBytes;
  const ssize_t bytes = channel_.receive({input.prepare(wanted), wanted});
  if (!received(bytes)) return;
  input.commit(static_cast<size_t>(bytes));
  input.consume(process(received_, input.view()));
}

bool Link::received(ssize_t result) {
  if (result > 0) [[likely]]
    return true;
  if (result < 0 && would_block(errno)) return false;
  close(ended(result == 0 ? Error{ErrorCode::kIo, "it closed the connection"} : channel_.failure("cannot receive")));
  return false;
}

// Takes the messages that are complete; returns how many bytes they are.
size_t Link::process(Stream& stream, std::string_view input) {
  size_t done = 0;
  while (!dead() && done < input.size()) {
    const std::string_view rest = input.substr(done);
    const resp::Parsed parsed =
        rest.front() == kArray ? stream.parser.next(rest, stream.words) : resp::Parsed{resp::Outcome::kError, 0};
    done += parsed.consumed;
    // A line of words is RESP for a client alone.
    if (parsed.outcome == resp::Outcome::kError || parsed.in_parser) {
      const bool tls = !proven() && begins_as_tls(rest);
      close(protocol_error(std::string("it sent bytes that are no RESP array") +
                           (tls ? ", but TLS; is tls-cluster the same on both nodes?" : "")));
    } else if (parsed.outcome == resp::Outcome::kIncomplete) {
      if (rest.size() + stream.parser.needed() > max_bytes()) close(protocol_error("its message is too large"));
      if (!proven()) handshake_bytes_ += parsed.consumed;  // arrays without words
      break;
    } else if (!take(stream, parsed.consumed)) {
      break;
    }
  }
  return done;
}

// The words of a message of so many bytes. False: the link is dead.
bool Link::take(Stream& stream, size_t bytes) {
  if (bytes > max_bytes()) {
    close(protocol_error("its message is too large"));
  } else if (!proven()) {
    advance_handshake(bytes);
  } else if (&stream == &received_ && !stream.words.empty() && stream.words[0] == kPartMessage) {
    take_part(stream.words);
  } else {
    owner_.on_message(*this, stream.words);
  }
  return !dead();
}

void Link::take_part(const resp::Arguments& words) {
  if (words.size() != 2) return close(protocol_error("it sent a malformed part"));
  pieced_.input.append(words[1]);
  pieced_.input.consume(process(pieced_, pieced_.input.view()));
}

// Of the message that comes.
uint64_t Link::max_bytes() const {
  return proven() ? limits_.max_message_bytes : kMaxHandshakeBytes - handshake_bytes_;
}

// ---- sending

resp::OutputBuffer* Link::begin(Lane lane) {
  CHECK(proven());
  note_frame();
  overflowed_ = overflowed_ || overflows();
  if (overflowed_) return nullptr;
  return lane == Lane::kUrgent ? &urgent_ : &ordered_;
}

// What was appended since the last call is one message.
void Link::note_frame() {
  largest_frame_bytes_ = std::max(largest_frame_bytes_, ordered_.size() - frame_begin_);
  frame_begin_ = ordered_.size();
}

// What the socket gets next: all that is urgent, and behind it what is ordered, or a piece of it.
void Link::fill_output() {
  std::swap(output_, urgent_);
  if (in_parts_ == 0 && ordered_.size() > kPartBytes) in_parts_ = ordered_.size();
  if (in_parts_ > 0) {
    take_piece();
  } else if (output_.empty()) {
    std::swap(output_, ordered_);
  } else {
    output_.append(ordered_.view());
    ordered_.clear();
  }
  frame_begin_ = ordered_.size();
}

void Link::take_piece() {
  const size_t bytes = std::min(in_parts_, kPartBytes);
  resp::Writer writer(output_, resp::Protocol::kResp2);
  writer.array(2);
  writer.bulk(kPartMessage);
  writer.bulk(ordered_.view().substr(0, bytes));
  ordered_.consume(bytes);
  in_parts_ -= bytes;
}

void Link::send() {
  if (dead() || state_ == State::kConnecting) return;
  note_frame();
  if (output_.empty() && channel_.unsent() == 0) fill_output();
  if (!output_.empty() || channel_.unsent() > 0) {
    const ssize_t bytes = channel_.send(output_.view());
    if (bytes < 0 && !would_block(errno)) return close(ended(channel_.failure("cannot send")));
    if (bytes > 0) output_.consume(static_cast<size_t>(bytes));
  }
  if (backlog() == 0) largest_frame_bytes_ = 0;
  if (overflowed_ || overflows()) {
    return close(Error{ErrorCode::kFull, "it does not read: " + std::to_string(backlog()) + " bytes wait"});
  }
  // Not while TLS waits for the other side: the socket is writable all the time.
  want_writes(channel_.unsent() > 0 || (backlog() > 0 && !channel_.handshaking()));
}

// A writable socket only wakes the loop: send() follows at the end of the turn.
void Link::on_writable(evutil_socket_t, short, void* self) {
  auto* const link = static_cast<Link*>(self);
  if (link->state_ == State::kConnecting) link->finish_connecting();
}

void Link::want_writes(bool wanted) {
  if (writing_ == wanted) return;
  writing_ = wanted;
  CHECK((wanted ? event_add(write_event_, nullptr) : event_del(write_event_)) == 0);
}

}  // namespace capstan::cluster
