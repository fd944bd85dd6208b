"""The status page and what machines read of it: /healthz, /readyz, /freshz, /metrics, /api/status.

It only reads; what operators ask for is handed to `syncd.service.operations`.

Owns form and headers of the answers; what they tell comes from `syncd.status`. Shows no secret, no record, no personal
data, and needs nothing from outside.
"""

from syncd.service.web.server import application, serving

__all__ = ["application", "serving"]
