"""Activation: a certificate becomes good when its holder gives two codes that came by two ways."""
