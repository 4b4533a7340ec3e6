"""A limit on the memory of a process, which says how it is held to it. Used by the tests and by bench/."""

import os
import tempfile


class MemoryLimit:
    """A limit in bytes for what is started with `wrap` before its command line.

    It is a control group (v2 or v1), which counts the page cache too, where this process may make one; else
    RLIMIT_DATA, which counts private writable memory whether it is resident or not. `description` says which.
    """

    def __init__(self, limit_bytes):
        self.group = None
        for root, name, kind in (
            ("/sys/fs/cgroup", "memory.max", "a control group (v2), page cache included"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "a control group (v1), page cache included"),
        ):
            if self._make_group(root, name, limit_bytes):
                self.wrap = ["sh", "-c", 'echo $$ > "%s/cgroup.procs" && exec "$@"' % self.group, "limited"]
                self.description = kind
                return
        self.wrap = ["prlimit", "--data=%d" % limit_bytes]
        self.description = "RLIMIT_DATA, page cache not included"

    def _make_group(self, root, name, limit_bytes):
        try:
            self.group = tempfile.mkdtemp(prefix="capstan-limit.", dir=root)
            # v2 gives a group its memory.max once its parent passes the controller on.
            if name == "memory.max" and not os.path.exists(os.path.join(self.group, name)):
                write(os.path.join(root, "cgroup.subtree_control"), "+memory")
            write(os.path.join(self.group, name), limit_bytes)
            return True
        except OSError:
            self.close()
            return False

    def close(self):
        """Once the processes have ended."""
        if self.group:
            os.rmdir(self.group)
        self.group = None


def write(path, value):
    with open(path, "r+", encoding="ascii") as file:  # never creates it: /sys/fs/cgroup of v1 is an ordinary folder
        file.write(str(value))
