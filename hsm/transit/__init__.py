"""How a Transit engine of Vault or OpenBao is spoken to; `hsm.vault` makes a device of it."""
