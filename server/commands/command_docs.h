// COMMAND DOCS.
#pragma once

#include "server/command.h"

namespace capstan {

Outcome command_docs(Call& call);

}  // namespace capstan
