"""cloudfront.py ENDPOINT make: makes a distribution and prints its id.
cloudfront.py ENDPOINT dump ID: prints the invalidations of a distribution as JSON, in the order in which they were made."""

import json
import sys
import uuid

import boto3
from botocore.config import Config

endpoint, deed = sys.argv[1:3]
client = boto3.client("cloudfront", region_name="us-east-1", endpoint_url=endpoint, config=Config(proxies={}))
if deed == "make":
    origin = {"Id": "static", "DomainName": "static.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
    behavior = {
        "TargetOriginId": "static",
        "ViewerProtocolPolicy": "allow-all",
        "MinTTL": 0,
        "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
    }
    config = {
        "CallerReference": str(uuid.uuid4()),
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": behavior,
        "Comment": "",
        "Enabled": True,
    }
    print(client.create_distribution(DistributionConfig=config)["Distribution"]["Id"])
else:
    distribution = sys.argv[3]
    listed = client.list_invalidations(DistributionId=distribution)["InvalidationList"].get("Items", [])
    found = []
    for summary in sorted(listed, key=lambda summary: summary["CreateTime"]):
        one = client.get_invalidation(DistributionId=distribution, Id=summary["Id"])["Invalidation"]
        batch = one["InvalidationBatch"]
        found.append({"reference": batch["CallerReference"], "paths": batch["Paths"]["Items"]})
    json.dump(found, sys.stdout)
