"""Certificates for nodes under test, made with the program openssl."""

import os
import shutil
import subprocess
import tempfile

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]


class Authority:
    """A certificate authority in a directory of its own, gone when it is closed."""

    def __init__(self, name):
        self.directory = tempfile.mkdtemp(prefix="redis-tests.")
        self.certificate = self.path("ca.crt")
        self.openssl("req", "-x509", *NEW_KEY, "-subj", "/CN=" + name, "-keyout", "ca.key", "-out", "ca.crt")

    def path(self, name):
        return os.path.join(self.directory, name)

    def openssl(self, *words):
        command = ["openssl", *words]
        done = subprocess.run(
            command, cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, "openssl %s: %s" % (" ".join(words), done.stderr.decode())

    def issue(self, name):
        """The paths of a certificate that it signs, and of the key."""
        if not os.path.exists(self.path(name + ".crt")):
            self.openssl("req", *NEW_KEY, "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".csr")
            signer = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
            self.openssl("x509", "-req", "-in", name + ".csr", *signer, "-days", "2", "-out", name + ".crt")
        return self.path(name + ".crt"), self.path(name + ".key")

    def directives(self, name):
        """With which a node has such a certificate, and trusts those of this authority."""
        certificate, key = self.issue(name)
        return {
            "tls-cluster": "yes",
            "tls-cert-file": certificate,
            "tls-key-file": key,
            "tls-ca-cert-file": self.certificate,
        }

    def end_of_log(self):
        return ""

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)
