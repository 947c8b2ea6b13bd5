"""Cloud Custodian's S3 policy for the same event, as its Lambda function runs it. Python of the peer's environment.

python custodian_event.py plain|detect BUCKET OUTPUT-FOLDER
"""

import sys

from c7n.config import Config
from c7n.loader import PolicyLoader
from c7n.resources import load_resources

kind, bucket, folder = sys.argv[1:]
load_resources(("aws.s3",))
options = Config.empty(region="us-east-1", account_id="111122223333", output_dir=folder)
policy = {
    "name": "mfa-delete",
    "resource": "aws.s3",
    "mode": {
        "type": "cloudtrail",
        "role": "arn:aws:iam::111122223333:role/example",
        "events": [
            {"source": "s3.amazonaws.com", "event": "PutBucketVersioning", "ids": "requestParameters.bucketName"}
        ],
    },
    "filters": [
        {"tag:mfa-delete": "required"},
        {"type": "value", "key": "Versioning.MFADelete", "op": "ne", "value": "Enabled"},
    ],
}
if kind == "detect":
    policy["query"] = [{"augment-keys": "detect"}]
event = {
    "detail-type": "AWS API Call via CloudTrail",
    "region": "us-east-1",
    "account": "111122223333",
    "debug": False,
    "detail": {
        "eventSource": "s3.amazonaws.com",
        "eventName": "PutBucketVersioning",
        "awsRegion": "us-east-1",
        "userIdentity": {"type": "Root", "arn": "arn:aws:iam::111122223333:root", "accountId": "111122223333"},
        "requestParameters": {"bucketName": bucket},
    },
}
for each in PolicyLoader(options).load_data({"policies": [policy]}, "mem:policy"):
    each.validate()
    print(len(each.push(event, None) or []))
