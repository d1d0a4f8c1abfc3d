"""`mohr trust make`: write and sign a trust bundle, by default of the deployment itself with its own seal."""

from dataclasses import replace
from pathlib import Path

import click

from ca.hierarchy import SERVICE_SEAL
from pki.certificates import load_certificates, pem
from signer.files import check_writable, read_file, write_file
from signer.trust.bundle import MAX_SEQUENCE
from signer.trust.plan import of_deployment, read_plan, with_lists
from signer.trust.signing import sign_bundle
from webapp.commands.options import home_option, output_option, say
from webapp.commands.sign import opened_key
from webapp.compose import RealClock
from webapp.deployment import Deployment


@click.command()
@home_option
@output_option
@click.argument("plan", required=False, type=click.Path(path_type=Path))
@click.option("--name", help="The name of the series, where there is no PLAN; default: deployment.")
@click.option(
    "--sequence",
    type=click.IntRange(1, MAX_SEQUENCE),
    help="Its number, higher than those before; default: the seconds since 1970.",
)
@click.option("--with-lists", "lists", is_flag=True, help="Add the CRLs that the deployment has published.")
@click.option(
    "--key",
    "key_uri",
    default=f"pkcs11:object={SERVICE_SEAL}",
    show_default=True,
    metavar="URI",
    help="The key that signs it.",
)
@click.option(
    "--signer-out",
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="Write the signer's certificate too, to be brought to verifiers another way than the bundle.",
)
@click.option("--cert", type=click.Path(path_type=Path), help="The signer's certificate with its issuers, PEM.")
def make(
    *,
    deployment: Deployment,
    output: Path | None,
    plan: Path | None,
    name: str | None,
    sequence: int | None,
    lists: bool,
    key_uri: str,
    signer_out: Path | None,
    cert: Path | None,
) -> None:
    """Make a trust bundle from a PLAN, or of the deployment's own anchors and issuers.

    Example: mohr trust make --with-lists -o pilot.trust.json
    """
    if plan is not None and name is not None:
        raise click.UsageError("a PLAN says the name itself")
    if signer_out is not None:
        check_writable(signer_out)
    now = RealClock().now().replace(microsecond=0)
    number = int(now.timestamp()) if sequence is None else sequence
    if plan is None:
        bundle = of_deployment(deployment.home, sequence=number, issued=now)
        bundle = bundle if name is None else replace(bundle, name=name)
    else:
        bundle = read_plan(plan, sequence=number, issued=now)
    if lists:
        bundle = with_lists(bundle, deployment.home)
    given = load_certificates(read_file(cert)) if cert else ()
    with opened_key(deployment, key_uri) as (key, known):
        chain = given or known
        if not chain:
            raise click.UsageError("this key needs --cert")
        signed = sign_bundle(bundle, key, chain)
    target = output or Path(f"{bundle.name}.trust.json")
    write_file(target, signed)
    if signer_out is not None:
        write_file(signer_out, pem(chain[0].der).encode())
    say(str(target))
