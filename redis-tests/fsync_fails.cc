// Preloaded into a server under test: fsync and fdatasync fail with EIO as soon as the file named by
// FSYNC_FAILS_WHEN exists. Shows what the server does when the disk reports that it could not keep what was written.

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace {

bool disk_is_broken() {
  const char* trigger = std::getenv("FSYNC_FAILS_WHEN");
  return trigger && access(trigger, F_OK) == 0;
}

int sync_or_fail(long system_call, int descriptor) {
  if (disk_is_broken()) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(syscall(system_call, descriptor));
}

}  // namespace

extern "C" int fsync(int descriptor) { return sync_or_fail(SYS_fsync, descriptor); }
extern "C" int fdatasync(int descriptor) { return sync_or_fail(SYS_fdatasync, descriptor); }
