"""`mohr ca install-chain`: what a parent CA issued to our authorities."""

from pathlib import Path

import click

from ca.parents import MAX_CERTIFICATES, read_certificate_file
from pki.errors import ErrorCode, InvalidInput
from signer.files import read_file
from webapp.commands.options import answer, home_option
from webapp.deployment import Deployment

MAX_OCTETS = 256 * 1024


@click.command("install-chain")
@home_option
@click.argument("files", type=click.Path(path_type=Path), metavar="FILE...", nargs=-1, required=True)
def install_chain(deployment: Deployment, files: tuple[Path, ...]) -> None:
    """Take into use what a parent CA issued to our authorities, with the chain above it up to its root.

    FILEs are PEM, DER or PKCS#7, in any order; the same ones given again change nothing. A deployment that waits for
    them opens. Example: mohr ca install-chain issued.pem ministry-chain.p7b --home var
    """
    from webapp.subordinate import install_chain as install

    read = ((file.name, read_file(file, limit=MAX_OCTETS)) for file in files)
    given = tuple(found for name, data in read for found in read_certificate_file(name, data))
    if len(given) > MAX_CERTIFICATES:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"at most {MAX_CERTIFICATES} certificates")
    done = install(deployment, given)
    answer({"state": "open", "authorities": done.serials, "anchors": done.anchors, "changed": done.changed})
