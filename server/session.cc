#include "server/session.h"

#include "server/worker.h"

namespace capstan {

void LaterReply::send(std::string_view bytes) const { worker_->deliver(address_, bytes, 0); }

}  // namespace capstan
