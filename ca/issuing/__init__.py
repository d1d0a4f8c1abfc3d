"""The issuing line: what happens between an order and a certificate."""
