"""The pages people see. Each is one idea, works without script and shows nothing it did not check."""
