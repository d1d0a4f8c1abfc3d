"""Strict readers of signed files: any format in, the same neutral values out (`signer.parsers.model`).

They decide nothing about trust. Bytes come from strangers: sizes, counts and depths are bounded, and the
only exception that leaves is `pki.errors.ServiceError`.
"""
