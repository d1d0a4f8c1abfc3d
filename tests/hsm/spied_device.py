"""A process that signs once, five times and five at once through a module: `… MODULE FOLDER ALGORITHM`."""

import sys
from pathlib import Path

from hsm.device.contract import device_input
from hsm.key_uri import parse_token
from hsm.pin import PinFile, PinTries
from hsm.pkcs11 import Pkcs11Device
from pki.keys import DEFAULT_RSA_BITS, SignatureAlgorithm

if __name__ == "__main__":
    module_path, folder, algorithm = Path(sys.argv[1]), Path(sys.argv[2]), SignatureAlgorithm(sys.argv[3])
    device = Pkcs11Device(
        module_path=module_path,
        token=parse_token("mohr-test"),
        pins=PinFile(folder / "pin"),
        tries=PinTries(folder / "tries", 2),
    )
    device.open()
    reference, _ = device.generate("spied", algorithm, DEFAULT_RSA_BITS)
    device.sign(reference, algorithm, [device_input(algorithm, b"first")])
    inputs = [device_input(algorithm, b"message" * 100 + bytes([number])) for number in range(5)]
    for item in inputs:
        device.sign(reference, algorithm, [item])
    device.sign(reference, algorithm, inputs)
    device.close()
