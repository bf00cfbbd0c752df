"""A Ray cluster on loopback, of two CPUs and what it takes for a GPU, one for a run; `RAY_ADDRESS` leads to it."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services.running import Address, address, serve

# Nothing is reported to anybody, whoever is on this machine is the one who started it, and Python starts workers
# even where uv started the tests. Ray reads this when it is imported.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}


def variables() -> dict[str, str]:
    """Return what the environment of a program says of the cluster."""
    return {**SETTINGS, "RAY_ADDRESS": address("ray")["gcs"]}


@contextmanager
def running(_: Path) -> Iterator[Address]:
    """Run the cluster; its sockets need short paths."""
    os.environ.update(SETTINGS)
    import ray

    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        context: Any = ray.init(
            num_cpus=2,
            num_gpus=1,
            include_dashboard=False,
            object_store_memory=200_000_000,
            logging_level=logging.WARNING,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )
        try:
            yield {"gcs": context.address_info["gcs_address"]}
        finally:
            ray.shutdown()


if __name__ == "__main__":
    serve(running)
