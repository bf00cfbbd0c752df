"""An object store that checks who asks: moto on loopback, with an owner who may do everything and a reader.

Other tests need no keys, so this is a server of its own.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
from tests.services import s3
from tests.services.running import Address, address, serve

OWNER, READER = "owner", "reader"
ALLOWED = {OWNER: ["s3:*"], READER: ["s3:Get*", "s3:List*", "s3:Head*"]}
REGION = s3.CREDENTIALS["AWS_REGION"]


def options(who: str) -> dict[str, str]:
    """Return what a client needs to know to ask as somebody."""
    found = address("guarded_s3")
    key: str = found["keys"][who]["id"]
    secret: str = found["keys"][who]["secret"]
    return {**s3.options(found["endpoint"]), "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}


def new_bucket() -> str:
    """Make an empty bucket of the owner and return its name."""
    name = f"bucket-{uuid.uuid4().hex}"
    _owner().create_bucket(Bucket=name)
    return name


def remove_bucket(name: str) -> None:
    """Remove a bucket and all that is in it."""
    for item in _owner().list_objects_v2(Bucket=name)["Contents"]:
        _owner().delete_object(Bucket=name, Key=item["Key"])
    _owner().delete_bucket(Bucket=name)


def _owner() -> Any:
    found = address("guarded_s3")
    key = found["keys"][OWNER]
    return _client("s3", found["endpoint"], key["id"], key["secret"])


def _client(service: str, endpoint: str, key: str, secret: str) -> Any:
    options = {"aws_access_key_id": key, "aws_secret_access_key": secret, "region_name": REGION}
    return boto3.client(service, endpoint_url=endpoint, **options)


def _key_of(iam: Any, who: str) -> dict[str, str]:
    statement = {"Effect": "Allow", "Action": ALLOWED[who], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.create_user(UserName=who)
    iam.put_user_policy(UserName=who, PolicyName=who, PolicyDocument=document)
    key = iam.create_access_key(UserName=who)["AccessKey"]
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


@contextmanager
def server(folder: Path) -> Iterator[Address]:
    """Run moto; once both users have their keys it checks each request."""
    with s3.server(folder) as found:
        endpoint = found["endpoint"]
        iam = _client("iam", endpoint, "nobody", "nothing")
        keys = {who: _key_of(iam, who) for who in ALLOWED}
        guard = Request(f"{endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"})
        urlopen(guard).close()
        yield {"endpoint": endpoint, "keys": keys}


if __name__ == "__main__":
    serve(server)
