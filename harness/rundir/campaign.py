"""campaign.json as types: which runs of a campaign were made, and from what."""

from __future__ import annotations

import msgspec

SCHEMA_VERSION = 1


class CampaignRun(msgspec.Struct, kw_only=True):
    """A run that ended by itself. ``inputs``: digests of what it was made from; ``config_sha256``: of config.yaml."""

    inputs: dict[str, str] = {}
    exit_code: int | None = None
    seconds: float | None = None
    config_sha256: str | None = None


class CampaignRecord(msgspec.Struct, kw_only=True):
    """``runs``: by name. A run that was killed is none of them."""

    schema_version: int = SCHEMA_VERSION
    runs: dict[str, CampaignRun] = {}
