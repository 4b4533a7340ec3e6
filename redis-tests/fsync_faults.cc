// Preloaded into a server under test; what the disk does depends on files that a test makes and removes:
//   FSYNC_FAILS_WHEN   once that file exists, fsync and fdatasync fail with EIO: the disk reports that it could not
//   keep
//                      what was written
//   FSYNC_WAITS_WHILE  as long as it exists, they wait for files named data.mdb: a disk that does not keep up with
//   flushes

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace {

bool exists(const char* variable) {
  const char* const path = std::getenv(variable);
  return path && access(path, F_OK) == 0;
}

bool is_lmdb(int descriptor) {
  char link[32], path[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t size = readlink(link, path, sizeof path);
  return size > 0 && std::string_view(path, static_cast<size_t>(size)).ends_with("/data.mdb");
}

void wait_while_told_to() {
  while (exists("FSYNC_WAITS_WHILE")) usleep(1000);
}

int sync(long system_call, int descriptor) {
  if (is_lmdb(descriptor)) wait_while_told_to();
  if (exists("FSYNC_FAILS_WHEN")) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(syscall(system_call, descriptor));
}

}  // namespace

extern "C" int fsync(int descriptor) { return sync(SYS_fsync, descriptor); }
extern "C" int fdatasync(int descriptor) { return sync(SYS_fdatasync, descriptor); }
