"""`mohr ca`: register, issue, revoke, publish; each command in the file of its subject."""

import click

from pki.programs import LateCommands

_COMMANDS = {
    "activate": ("webapp.commands.activation", "activate"),
    "activation": ("webapp.commands.activation", "activation_group"),
    "bulk": ("webapp.commands.bulk", "bulk"),
    "bulk-approve": ("webapp.commands.bulk", "bulk_approve"),
    "bulk-issue": ("webapp.commands.bulk", "bulk_issue"),
    "bulk-status": ("webapp.commands.bulk", "bulk_status"),
    "compromised": ("webapp.commands.compromise", "compromised"),
    "crl": ("webapp.commands.lists", "crl"),
    "est-secret": ("webapp.commands.est", "est_secret"),
    "export": ("webapp.commands.inventory", "export"),
    "file": ("webapp.commands.files", "file_group"),
    "hold": ("webapp.commands.status_changes", "hold"),
    "identities": ("webapp.commands.identities", "identities"),
    "install-chain": ("webapp.commands.chain", "install_chain"),
    "issue": ("webapp.commands.issue", "issue"),
    "lint": ("webapp.commands.lint", "lint"),
    "list": ("webapp.commands.certificates", "list_certificates"),
    "nonce": ("webapp.commands.nonce", "nonce"),
    "officer": ("webapp.commands.officer", "officer_group"),
    "profiles": ("webapp.commands.profiles", "profiles"),
    "realm": ("webapp.commands.officer", "realm_group"),
    "remind": ("webapp.commands.inventory", "remind"),
    "renew": ("webapp.commands.renewal", "renew"),
    "renew-services": ("webapp.commands.renewal", "renew_own"),
    "replace": ("webapp.commands.renewal", "replace"),
    "revocation": ("webapp.commands.revocations", "revocation_group"),
    "revoke": ("webapp.commands.status_changes", "revoke"),
    "revoke-all": ("webapp.commands.revocations", "revoke_all"),
    "search": ("webapp.commands.inventory", "search"),
    "show": ("webapp.commands.certificates", "show"),
    "statistics": ("webapp.commands.inventory", "statistics"),
    "status-alarms": ("webapp.commands.revocations", "status_alarms"),
    "suspend": ("webapp.commands.suspension", "suspend"),
    "suspension-code": ("webapp.commands.suspension", "suspension_code"),
    "unhold": ("webapp.commands.status_changes", "unhold"),
}


@click.group(cls=LateCommands, commands_at=_COMMANDS)
def ca() -> None:
    """Register, issue, revoke, publish. Example: mohr ca list --home var."""
