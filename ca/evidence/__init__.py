"""Evidence of registration files: scans kept sealed while they are needed, and then deleted."""
