"""The floor of a sweep: the enrolled buckets by the Tagging API, and one GetBucketVersioning for each, 16 at a time."""

from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

CONFIG = Config(max_pool_connections=16)


def main() -> None:
    """Ask, and count."""
    tagging, s3 = boto3.client("resourcegroupstaggingapi"), boto3.client("s3", config=CONFIG)
    pages = tagging.get_paginator("get_resources").paginate(
        TagFilters=[{"Key": "mfa-delete", "Values": ["required"]}], ResourceTypeFilters=["s3"]
    )
    names = [each["ResourceARN"].rpartition(":")[2] for page in pages for each in page["ResourceTagMappingList"]]

    def look(name: str) -> str:
        try:
            return s3.get_bucket_versioning(Bucket=name).get("MFADelete", "Disabled")
        except ClientError:
            return "refused"

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(look, names))
    print({each: found.count(each) for each in set(found)})


if __name__ == "__main__":
    main()
