"""Carrying out one step: find what an earlier try made, do the rest, and say what the transcript shall tell of it.

Each step may be begun again after the process was killed anywhere in it, and then ends as if it had not been.
"""

from collections.abc import Callable
from typing import Any

from ca.ceremony import authority_steps, key_steps, token_steps
from ca.ceremony.grammar import (
    CertifyAuthority,
    CertifyRequest,
    CertifyRoot,
    GenerateKey,
    InstallCertificate,
    MakeToken,
    OpenDeployment,
    ReadAloud,
    RequestCertificate,
    RevokeAuthority,
    SignRootList,
    Step,
    Unlock,
    UseToken,
)
from ca.ceremony.room import StepRoom

Facts = dict[str, Any]

_BY_KIND: dict[type, Callable[[Any, StepRoom], Facts]] = {
    MakeToken: token_steps.make_token,
    UseToken: token_steps.use_token,
    Unlock: token_steps.unlock,
    GenerateKey: key_steps.generate_key,
    RequestCertificate: key_steps.request_certificate,
    InstallCertificate: key_steps.install_certificate,
    ReadAloud: key_steps.read_fingerprint,
    CertifyRoot: authority_steps.certify_root,
    CertifyAuthority: authority_steps.certify_authority,
    CertifyRequest: authority_steps.certify_request,
    RevokeAuthority: authority_steps.revoke_authority,
    SignRootList: authority_steps.sign_root_list,
    OpenDeployment: authority_steps.open_deployment,
}


def carry_out(step: Step, room: StepRoom) -> Facts:
    """Carry out `step`; CeremonyStopped where persons stop it, and the errors of devices and register."""
    return _BY_KIND[type(step)](step, room)
