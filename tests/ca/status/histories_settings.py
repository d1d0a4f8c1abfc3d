"""Settings of histories: few lists, and deltas that are published alone for a while."""

from __future__ import annotations

from dataclasses import replace

from ca.config import validate_settings
from tests.ca.world import RAW_SETTINGS

SETTINGS = validate_settings(replace(RAW_SETTINGS, crl_shards=2, crl_interval_minutes=180))
