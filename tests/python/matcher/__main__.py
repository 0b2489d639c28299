"""Judges pairs of policy and request: a JSON object a line on standard input, a verdict a line on standard output.

Of each pair: `policy` and `name` (the file), `asked` (the profile asked for), `csr`, `now`, `message_hash`, `claims`.
Where a certificate was built, also `tbs`, `serial` and `issuer`. The verdict: `rule`, the id of the first rule that
refuses or null; `differs`, the first field of the TBSCertificate that is not as it is to be, or null.
"""

import json
import sys

from .certificate import compare
from .der import Malformed
from .policy import Policy
from .request import Request
from .rules import decide


def judge(given):
    policy = Policy(given["name"], given["policy"])
    request = Request(bytes.fromhex(given["csr"]))
    rule, permitted = decide(policy, request, given["asked"], given["now"], given["message_hash"], given["claims"])
    differs = None
    if permitted and given.get("tbs"):
        try:
            differs = compare(bytes.fromhex(given["tbs"]), policy, request, permitted, given)
        except (Malformed, ValueError, LookupError, TypeError) as error:
            differs = f"unreadable: {error!r}"
    return {"rule": rule, "differs": differs}


for line in sys.stdin:
    print(json.dumps(judge(json.loads(line))))
