"""What the scheduler may rely on and must not exceed; the settings of a master choose some of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What the scheduler may rely on and must not exceed."""

    lease: float = 30.0
    """Seconds a lease lasts without a beat."""
    reconnect: float = 10.0
    """Seconds within which workers are back after a restart, backoff included: no task stays in doubt longer."""
    reconnect_grace: float = 1.0
    """Seconds a worker's leases outlive its last connection."""
    max_queued: int = 100_000_000
    max_jobs: int = 10_000
    max_payload_bytes: int = 7 << 20
    bundle_seconds: float = 0.075
    """Work per bundle, by a high quantile of the job's durations."""
    least_seconds: float = 0.002
    """Work below which a bundle is not cut for a fair share: that costs more than the uneven end it spares."""
    max_bundle: int = 4096
    """Tasks per bundle."""
    bundle_bytes: int = 1 << 20
    """Payload bytes per bundle, about."""
    lost_workers: int = 5
    """How often a worker may be lost that a task had to itself."""
    crashes: int = 3
    """How often its process may crash or go over its memory limit."""
