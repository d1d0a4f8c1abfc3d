"""OpenSSL as a ministry: a root and a health intermediate by `openssl ca`, which certify authorities and sign lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.openssl import openssl

CONFIG = """\
[req]
distinguished_name = dn
[dn]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[authority]
basicConstraints = critical, CA:TRUE, pathlen:{path_length}
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
certificatePolicies = 2.5.29.32.0
{more}
[below]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[ca]
default_ca = here
[here]
dir = {folder}
database = $dir/index.txt
serial = $dir/serial
crlnumber = $dir/crlnumber
new_certs_dir = $dir
default_md = sha256
default_days = 2000
default_crl_days = 30
policy = anything
unique_subject = no
copy_extensions = copyall
[anything]
countryName = optional
organizationName = optional
commonName = supplied
"""


@dataclass(frozen=True, kw_only=True)
class Authority:
    """A CA of the ministry, in a folder of its own."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "own.pem"

    @property
    def key(self) -> Path:
        return self.folder / "own.key"

    def _config(self, path_length: int = 0, more: str = "") -> Path:
        config = self.folder / "openssl.cnf"
        config.write_text(CONFIG.format(folder=self.folder, path_length=path_length, more=more))
        return config

    @staticmethod
    def root(folder: Path) -> Authority:
        """Make a root."""
        found = Authority(folder=folder)
        found._begin("Ministry Root")
        words = ("-key", found.key, "-out", found.certificate, "-subj", "/C=IR/O=Ministry (synthetic)/CN=Ministry Root")
        _must("req", "-x509", "-new", *words, "-days", "3650", "-config", found._config(), "-extensions", "root")
        return found

    def _begin(self, name: str) -> None:
        self.folder.mkdir()
        _must("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", self.key)
        (self.folder / "index.txt").touch()
        (self.folder / "serial").write_text("10\n")
        (self.folder / "crlnumber").write_text("01\n")

    def below(self, folder: Path, name: str, *, path_length: int = 1, more: str = "") -> Authority:
        """Make an intermediate; `more` are lines of its extensions."""
        found = Authority(folder=folder)
        found._begin(name)
        request = folder / "own.csr"
        subject = f"/C=IR/O=Ministry (synthetic)/CN={name}"
        _must("req", "-new", "-key", found.key, "-out", request, "-subj", subject, "-config", found._config())
        self._sign(request, found.certificate, "authority", self._config(path_length, more))
        return found

    def certify(self, request: Path, target: Path, *dates: str) -> Path:
        """Certify a request with the extensions that it asks for; `dates` are options of `openssl ca`."""
        self._sign(request, target, "below", self._config(), *dates)
        return target

    def _sign(self, request: Path, target: Path, extensions: str, config: Path, *dates: str) -> None:
        own = ("-config", config, "-cert", self.certificate, "-keyfile", self.key, "-extensions", extensions)
        _must("ca", "-batch", "-rand_serial", "-notext", *own, "-in", request, "-out", target, *dates)

    def crl(self, target: Path) -> None:
        """Sign a list of nobody."""
        own = ("-config", self._config(), "-cert", self.certificate, "-keyfile", self.key)
        _must("ca", "-gencrl", *own, "-out", target)
        _must("crl", "-in", target, "-outform", "DER", "-out", target)


def joined(target: Path, parts: Sequence[Path]) -> Path:
    """Put PEM files into one."""
    target.write_text("".join(part.read_text() for part in parts))
    return target


def _must(*arguments: str | Path) -> None:
    ended = openssl(*arguments)
    assert ended.returncode == 0, ended.stderr
