"""All pipelines in one driver: what ``vnpulse up`` starts and ``ray job submit`` runs.

``ray job submit --working-dir . -- python -m pipelines.run --config configs/production.yaml``
"""

from __future__ import annotations

from pipelines.plan import PIPELINES
from pipelines.runtime import main

if __name__ == "__main__":
    main(*PIPELINES)
