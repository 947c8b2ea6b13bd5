"""What a person would write first: all buckets, their tags, and the versioning of those that carry the tag."""

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    """Ask, one after the other."""
    s3 = boto3.client("s3")
    missing = []
    for bucket in s3.list_buckets()["Buckets"]:
        try:
            tags = s3.get_bucket_tagging(Bucket=bucket["Name"])["TagSet"]
            enrolled = {"Key": "mfa-delete", "Value": "required"} in tags
            if enrolled and s3.get_bucket_versioning(Bucket=bucket["Name"]).get("MFADelete") != "Enabled":
                missing.append(bucket["Name"])
        except ClientError:
            missing.append(bucket["Name"])
    print(len(missing))


if __name__ == "__main__":
    main()
