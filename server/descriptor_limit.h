// How many clients the process can have descriptors for. The rest of what it opens (journal, LMDB, listeners, wake-ups)
// comes first: a node that cannot open its next journal segment must stop, so clients must not be able to use them up.
#pragma once

#include <cstdint>

#include "server/settings.h"

namespace capstan {

// Raises the process's limit of descriptors as far as settings.max_clients needs and the system lets it; returns the
// number of clients that fit, at most max_clients. Any thread.
uint32_t clients_possible(const Settings& settings);

}  // namespace capstan
