"""Card engines: one class per card family behind the `SmartCard` template."""
