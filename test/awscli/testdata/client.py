# Drives shuind through boto3, and fails with an assertion where an answer is
# not what AWS Signer's would be.
import base64
import datetime
import hashlib
import json
import os

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

PLATFORM = "Notation-OCI-SHA384-ECDSA"
FORMAT = "application/vnd.cncf.notary.payload.v1+json"
endpoint, account, region = os.environ["SHUIND"], os.environ["ACCOUNT"], os.environ["AWS_REGION"]


def client(**config):
    # botocore signs equal requests of one second equally, and the server takes
    # no signature twice (429): what every AWS SDK does about that is try again.
    return boto3.client("signer", endpoint_url=endpoint, region_name=region, config=Config(retries={"mode": "standard", "max_attempts": 6}, **config))


def refused(code, status, call, **args):
    try:
        call(**args)
    except ClientError as e:
        r = e.response
        assert r["Error"]["Code"] == code, r
        assert r["Error"]["Message"], r
        assert r["ResponseMetadata"]["HTTPStatusCode"] == status, r
        assert r["ResponseMetadata"]["RequestId"], r
        return e
    raise AssertionError("not refused: %s" % code)


signer = client(inject_host_prefix=False)
print("boto3", boto3.__version__, "botocore", botocore.__version__)

# Typed exceptions are the model's.
for typed, code, status, call, args in [
    (signer.exceptions.ResourceNotFoundException, "ResourceNotFoundException", 404, signer.get_signing_profile, dict(profileName="nobody")),
    (signer.exceptions.ValidationException, "ValidationException", 400, signer.put_signing_profile, dict(profileName="no-good", platformId=PLATFORM)),
    (signer.exceptions.NotFoundException, "NotFoundException", 404, signer.list_tags_for_resource,
     dict(resourceArn="arn:aws:signer:%s:%s:/signing-profiles/nobody" % (region, account))),
    (signer.exceptions.BadRequestException, "BadRequestException", 400, signer.list_tags_for_resource, dict(resourceArn="arn:aws:s3:::a-bucket-of-mine")),
]:
    assert isinstance(refused(code, status, call, **args), typed), code

# Paginators: 26 profiles, 30 jobs, in pages of 7, each once.
names = ["page_%02d" % i for i in range(26)]
for name in names:
    signer.put_signing_profile(profileName=name, platformId=PLATFORM)
pages = list(signer.get_paginator("list_signing_profiles").paginate(PaginationConfig={"PageSize": 7}))
assert [len(p["profiles"]) for p in pages] == [7, 7, 7, 5], [len(p["profiles"]) for p in pages]
assert sorted(p["profileName"] for page in pages for p in page["profiles"]) == names

# A verifier asks about the certificates in the signature, each named by the
# SHA-384 of its signed part and of its issuer's.
def certificate_hashes(signature):
    halves = []
    for text in json.loads(signature)["header"]["x5c"]:
        der = base64.b64decode(text)
        assert der[4:6] == b"\x30\x82", "the signed part, with a length of two octets"
        halves.append(hashlib.sha384(der[4:8 + int.from_bytes(der[6:8], "big")]).hexdigest())
    return [half + above for half, above in zip(halves, halves[1:] + halves[-1:])]


jobs = []
for i in range(30):
    artifact = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:%064x" % i, "size": 411}
    made = signer.sign_payload(profileName=names[i % 2], payload=json.dumps({"targetArtifact": artifact}).encode(), payloadFormat=FORMAT)
    assert isinstance(made["signature"], bytes) and json.loads(made["signature"])["signature"], made
    arn = made["metadata"]["com.amazonaws.signer.signingJob"]
    assert arn == "arn:aws:signer:%s:%s:/signing-jobs/%s" % (region, account, made["jobId"]), made["metadata"]
    jobs.append(made["jobId"])
    if i == 0:
        hashes = certificate_hashes(made["signature"])
listed = [j["jobId"] for page in signer.get_paginator("list_signing_jobs").paginate(PaginationConfig={"PageSize": 7}) for j in page["jobs"]]
assert listed == jobs[::-1], "every job once, newest first"
assert len(signer.list_signing_jobs(maxResults=5)["jobs"]) == 5
refused("ValidationException", 400, signer.list_signing_jobs, nextToken="made up")
assert any(p["platformId"] == PLATFORM for page in signer.get_paginator("list_signing_platforms").paginate() for p in page["platforms"])

# Times are times; the waiter ends at once, and fails for what is not there.
job = signer.describe_signing_job(jobId=jobs[0])
assert isinstance(job["createdAt"], datetime.datetime) and job["signatureExpiresAt"] > job["completedAt"] >= job["createdAt"], job
signer.get_waiter("successful_signing_job").wait(jobId=jobs[0], WaiterConfig={"Delay": 1, "MaxAttempts": 2})
try:
    signer.get_waiter("successful_signing_job").wait(jobId="00000000-0000-0000-0000-000000000000", WaiterConfig={"Delay": 1, "MaxAttempts": 1})
    raise AssertionError("waited for a job that is not there")
except WaiterError:
    pass

# Tags with characters that paths and queries treat in special ways.
arn = "arn:aws:signer:%s:%s:/signing-profiles/%s" % (region, account, names[0])
tags = {"a.b/c:d=e+f-g": "x y&z=ü%2F", "plain": ""}
signer.tag_resource(resourceArn=arn, tags=tags)
assert signer.list_tags_for_resource(resourceArn=arn)["tags"] == tags
signer.untag_resource(resourceArn=arn, tagKeys=["a.b/c:d=e+f-g"])
assert signer.list_tags_for_resource(resourceArn=arn)["tags"] == {"plain": ""}

# Revocation status with the prefix, through the server as a proxy, and without it.
version = signer.get_signing_profile(profileName=names[0])["profileVersionArn"]
question = dict(signatureTimestamp=job["completedAt"], platformId=PLATFORM, profileVersionArn=version,
                jobArn="arn:aws:signer:%s:%s:/signing-jobs/%s" % (region, account, jobs[0]), certificateHashes=hashes)
assert signer.get_revocation_status(**question)["revokedEntities"] == [], "before anything was revoked"
others = dict(question, certificateHashes=hashes[1:])
assert signer.get_revocation_status(**others)["revokedEntities"] == [question["jobArn"]], "without the certificate that signed"
signer.revoke_signature(jobId=jobs[0], reason="a trial")
for asked in [signer, client(proxies={"http": endpoint})]:
    assert asked.get_revocation_status(**question)["revokedEntities"] == [question["jobArn"]]
revoked = signer.list_signing_jobs(isRevoked=True)["jobs"]
assert [j["jobId"] for j in revoked] == [jobs[0]], revoked
print("all as AWS Signer's")
