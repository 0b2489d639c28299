"""Commands; what they work with is a JSON object on standard input, what they give a JSON object a line.

`cases GROUP`: bad messages, each with what is to become of it.
`enrol GROUP`: enrols in every shape of a group, and gives the issued certificate or what was wrong.
`seeds CRATES`: writes the seeds of the fuzzers; needs strongSwan, certmonger and scepclient, and nothing on input.
`count GROUP`: how many challenges `enrol` wants.
"""

import json
import sys

from . import cases, clients, reply, seeds
from .scene import Scene


def enrol(group, scene, url, challenges):
    shapes = clients.SHAPES[group]
    for (name, send), scene.challenge in zip(shapes.items(), challenges, strict=True):
        try:
            message, answer = send(scene, url)
            reply.check(answer.status == 200, f"HTTP {answer.status}: {answer.body!r}")
            reply.check(answer.headers["content-type"] == clients.MESSAGE, answer.headers["content-type"])
            yield {"name": name, "certificate": reply.read(answer.body, message, scene.ra_sign).hex()}
        except Exception as error:  # One shape that fails is no reason not to tell of the others.
            yield {"name": name, "error": f"{type(error).__name__}: {error}"}


def main():
    command, group = sys.argv[1:]
    if command == "seeds":
        return print(json.dumps(seeds.make(group)))
    given = json.load(sys.stdin)
    ra_enc, ra_sign, ca = (bytes.fromhex(given[certificate]) for certificate in ("ra_enc", "ra_sign", "ca"))
    scene = Scene(ra_enc, ra_sign, ca, given.get("challenge"), given.get("static_challenge"))
    if command == "cases":
        results = cases.make(group, scene)
    elif command == "enrol":
        results = enrol(group, scene, given["url"], given["challenges"])
    elif command == "count":
        results = [len(clients.SHAPES[group])]
    else:
        sys.exit(f"{command} is none of cases, enrol, count, seeds")
    for result in results:
        print(json.dumps(result))


main()
