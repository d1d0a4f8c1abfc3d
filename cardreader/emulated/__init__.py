"""An emulated ISO 7816-15 card behind the virtual reader of vsmartcard, for demos, tests and integrators.

It has no security: its private keys and PIN checks are in a file of the person who runs it. Only
`mohr-agent emulate` and tests import it; no other part of Mohr can reach an emulated card but through PC/SC.
"""
