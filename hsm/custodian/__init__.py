"""The custodian: the process that alone may have keys used, and reads what it is asked to sign."""
