"""The peer of the custodian's figures: a bare loop over python-pkcs11 and SoftHSM2, in a process of its own.

No check, no journal, no encoding, one thread, the handle of a key of the token held. SOFTHSM2_CONF names a token called
`mohr-raw`, whose PIN is one line of standard input: `python -m webapp.bench.raw_softhsm MODULE SECONDS` prints
signatures a second.
"""

import hashlib
import sys
import time
from typing import Any, Final

import pkcs11
from pkcs11.util.ec import encode_named_curve_parameters

TOKEN: Final = "mohr-raw"
_WARM: Final = 200
_BURST: Final = 100


def loop(module: str, pin: str, seconds: float) -> float:
    """Sign digests with a new P-256 key for `seconds`; return the rate."""
    token = pkcs11.lib(module).get_token(token_label=TOKEN)
    with token.open(rw=True, user_pin=pin) as session:
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
        )
        pair: tuple[Any, Any] = parameters.generate_keypair(mechanism=pkcs11.Mechanism.EC_KEY_PAIR_GEN, store=True)
        private = pair[1]
        digest = hashlib.sha256(b"raw").digest()
        for _ in range(_WARM):
            private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA, buffer_size=256)
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            for _ in range(_BURST):
                private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA, buffer_size=256)
            done += _BURST
        return done / (time.perf_counter() - began)


if __name__ == "__main__":
    print(round(loop(sys.argv[1], sys.stdin.readline().strip(), float(sys.argv[2]))))  # noqa: T201 - its one answer
