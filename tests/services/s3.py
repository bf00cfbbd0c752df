"""An object store that speaks S3: moto on loopback, in a process of its own."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from tests.services.running import Address, address, serve

KEY_ID, SECRET, REGION = "test-key", "test/secret+of the tests", "us-east-1"


def new_bucket() -> Address:
    """Create an empty bucket.

    Returns: bucket, endpoint, key_id, secret and region.
    """
    found = {**address("s3"), "bucket": f"bucket-{uuid.uuid4().hex[:12]}"}
    client(found).create_bucket(Bucket=found["bucket"])
    return found


def client(found: Address) -> Any:
    """Return a client of the object store."""
    return boto3.client(
        "s3",
        endpoint_url=found["endpoint"],
        aws_access_key_id=found["key_id"],
        aws_secret_access_key=found["secret"],
        region_name=found["region"],
    )


def storage_options(found: Address) -> dict[str, str]:
    """Say how to reach the object store, with the names that Delta, Lance and Polars read."""
    return {
        "aws_endpoint_url": found["endpoint"],
        "aws_access_key_id": found["key_id"],
        "aws_secret_access_key": found["secret"],
        "aws_region": found["region"],
        "aws_allow_http": "true",
    }


@contextmanager
def server(folder: Path) -> Iterator[Address]:
    """Run moto; its buckets are in memory."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    try:
        yield {"endpoint": f"http://{host}:{port}", "key_id": KEY_ID, "secret": SECRET, "region": REGION}
    finally:
        moto.stop()


if __name__ == "__main__":
    serve(server)
