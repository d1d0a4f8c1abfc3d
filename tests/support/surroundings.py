"""What the tests take of the machine around them: folders that sockets fit into, files that services may read,
connections enough, and no settings for other programs.
"""

import os
import re
import tempfile
from collections.abc import MutableMapping

from webapp.short_folders import socket_folder
from webapp.whole_bodies import allow_descriptors

DESCRIPTORS = 4096  # for a thousand hostile connections at once, beside what a session holds
# Proxies, and what libpq, OpenBao, OpenSC, p11-kit and SoftHSM2 take from whoever starts them.
_FOR_OTHERS = re.compile(r".*_proxy|PG[A-Z]+|(BAO|VAULT|OPENSC|P11_KIT|PKCS11)_.*|SOFTHSM2_CONF", re.IGNORECASE)


def leave_aside(environment: MutableMapping[str, str]) -> None:
    """Forget what the environment says to programs that tests start or speak with: they are this machine's own."""
    for name in list(environment):
        if _FOR_OTHERS.fullmatch(name):
            del environment[name]


def settle() -> None:
    """Do it for this process and all that it starts; before any test, and before a folder is made."""
    leave_aside(os.environ)
    os.umask(0o022)
    allow_descriptors(DESCRIPTORS)
    tempfile.tempdir = os.environ["TMPDIR"] = str(socket_folder())
