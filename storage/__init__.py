"""How rows are kept: engine, unit of work, migrations and the Merkle ledger. Knows no certificate."""
