"""An object store that speaks S3: moto on loopback, one for a run of the tests, which need a bucket each.

The server is a process of its own, since some clients hold Python's lock while they wait for an answer.
"""

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from tests.services.running import Address, address, serve

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "not-to-be-shown", "AWS_REGION": "us-east-1"}


def endpoint() -> str:
    """Return the address of the server."""
    url: str = address("s3")["endpoint"]
    return url


def options(at: str = "") -> dict[str, str]:
    """Return what a client of object stores needs to know, of this server or one like it."""
    return {**CREDENTIALS, "AWS_ENDPOINT_URL": at or endpoint(), "AWS_ALLOW_HTTP": "true"}


def iceberg_properties(known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what PyIceberg needs to know of this server, or of the one that `options` are for."""
    told = known or options()
    return {
        "s3.endpoint": told["AWS_ENDPOINT_URL"],
        "s3.access-key-id": told["AWS_ACCESS_KEY_ID"],
        "s3.secret-access-key": told["AWS_SECRET_ACCESS_KEY"],
        "s3.region": told["AWS_REGION"],
    }


def client(at: str = "") -> Any:
    """Return a client of the server, or of one like it."""
    return boto3.client(
        "s3",
        endpoint_url=at or endpoint(),
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=CREDENTIALS["AWS_REGION"],
    )


def new_bucket() -> str:
    """Make an empty bucket and return its name."""
    name = f"bucket-{uuid.uuid4().hex}"
    client().create_bucket(Bucket=name)
    return name


def objects(bucket: str, prefix: str = "") -> list[str]:
    """List the keys in a bucket."""
    pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))


@contextmanager
def server(folder: Path) -> Iterator[Address]:
    """Run moto; its buckets are in memory."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    try:
        yield {"endpoint": f"http://{host}:{port}"}
    finally:
        moto.stop()


if __name__ == "__main__":
    serve(server)
