"""What CloudTrail makes of one call: the state it needs from before, the records it makes after."""

import time
from dataclasses import dataclass

from local import control_plane, emulator, selectors, trail
from local.exchange import Answer, Request
from local.identity import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A call under way; `started` is epoch seconds, `bucket` that of an S3 call and `trails` as they were before."""

    request: Request
    caller: Caller
    request_id: str
    region: str
    started: float
    operation: str
    bucket: trail.Bucket | None
    trails: tuple[selectors.Trail, ...]

    def records(self, answer: Answer) -> list[trail.Record]:
        """The records of the finished call."""
        if self.bucket:
            return self._of_s3(answer, self.bucket)
        made = control_plane.record(
            control_plane.Call(
                request=self.request, answer=answer, caller=self.caller, region=self.region, operation=self.operation,
                started=self.started,
            )
        )  # fmt: skip
        return [made] if made else []

    def logged(self, records: list[trail.Record]) -> list[trail.Record]:
        """Those of the records that a trail logs.

        What a call does to a trail does not hide the call itself: the state before counts as much as that after.
        """
        after = selectors.logging_trails(self.caller.account) if self.request.service == "cloudtrail" else ()
        return [each for each in records if selectors.is_logged(each, self.trails + after)]

    def _of_s3(self, answer: Answer, before: trail.Bucket) -> list[trail.Record]:
        creates = self.operation == "CreateBucket"
        bucket = trail.locate(before.name, self.caller, self.region) if creates else before
        call = trail.Call(
            request=self.request, answer=answer, caller=self.caller, bucket=bucket, request_id=self.request_id,
            started=self.started, ended=time.time(),
        )  # fmt: skip
        return list(trail.records(call))


def start(request: Request, caller: Caller, request_id: str) -> Recording | None:
    """Begin a recording; None for a call CloudTrail has no record of here."""
    is_s3 = trail.is_recorded(request)
    operation = request.operation if is_s3 else control_plane.recorded_operation(request)
    if not operation:
        return None
    region = emulator.router.extract_region(request.headers)
    bucket = trail.locate(request.bucket_and_key[0], caller, region) if is_s3 else None
    return Recording(
        request=request,
        caller=caller,
        request_id=request_id,
        region=region,
        started=time.time(),
        operation=operation,
        bucket=bucket,
        trails=selectors.logging_trails(bucket.owner if bucket else caller.account),
    )
