"""The S3 protocol on loopback, from moto: one server per run of the tests, which needs a bucket each.

The server is a process of its own, since some clients hold Python's lock while they wait for an answer.
"""

import atexit
import os
import subprocess
import sys
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

ADDRESS = "METAXY_TEST_S3"  # child processes of a test use the server of their parent
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "not-to-be-shown", "AWS_REGION": "us-east-1"}


@cache
def endpoint() -> str:
    """Start the server if it does not run yet, and return its address; it ends with this process."""
    if address := os.environ.get(ADDRESS):
        return address
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.services.s3"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,  # it ends when this pipe is closed
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    address = os.environ[ADDRESS] = server.stdout.readline().strip()
    atexit.register(server.communicate)  # closes the pipe, and waits
    return address


def options() -> dict[str, str]:
    """Return what a client of object stores needs to know."""
    return {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint(), "AWS_ALLOW_HTTP": "true"}


def client() -> Any:
    """Return a client of the server."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint(),
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


def serve() -> None:
    """Serve until standard input ends."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    serve()
