"""dump_bucket.py ENDPOINT BUCKET: prints every object of the bucket as JSON, by key."""

import hashlib
import json
import sys

import boto3
from botocore.config import Config

endpoint, bucket = sys.argv[1:3]
client = boto3.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}, proxies={}))
objects = {}
for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
    for entry in page.get("Contents", []):
        found = client.get_object(Bucket=bucket, Key=entry["Key"])
        body = found["Body"].read()
        objects[entry["Key"]] = {
            "digest": "sha256:" + hashlib.sha256(body).hexdigest(),
            "size": len(body),
            "content_type": found.get("ContentType"),
            "cache_control": found.get("CacheControl"),
            "content_encoding": found.get("ContentEncoding"),
            "metadata": found["Metadata"],
        }
json.dump(objects, sys.stdout)
