"""Reads messages with Python's own parser, which shares no code with the builder.

Lines of JSON on standard input, {"mime": base64, "fields": names of header fields}; a line of JSON for each on standard
output, in the same order, with what a mail program would see.
"""

import base64
import email
import email.policy
import hashlib
import json
import sys


def defects_of(message):
    found = []
    for part in message.walk():
        found += [type(defect).__name__ for defect in part.defects]
        for name, value in part.items():
            found += [f"{name}: {type(defect).__name__}" for defect in value.defects]
    return found


def people_in(header):
    return [] if header is None else [[one.display_name, one.addr_spec] for one in header.addresses]


def read(mime, fields):
    message = email.message_from_bytes(mime, policy=email.policy.default)
    leaves = [part for part in message.walk() if not part.is_multipart()]
    plain, html, *files = leaves
    return {
        "defects": defects_of(message),
        "headers": message.keys(),
        "structure": [part.get_content_type() for part in message.walk()],
        "date": message["Date"].datetime.isoformat(),
        "from": people_in(message["From"]),
        "to": people_in(message["To"]),
        "subject": message["Subject"],
        "message_id": message["Message-ID"],
        "fields": {name: message[name] for name in fields if name in message},
        "plain": plain.get_payload(decode=True).decode(plain.get_content_charset()),
        "html": html.get_payload(decode=True).decode(html.get_content_charset()),
        "files": [
            {
                "name": part.get_filename(),
                "type": part.get_content_type(),
                "sha256": hashlib.sha256(part.get_payload(decode=True)).hexdigest(),
                "encoding": part["Content-Transfer-Encoding"],
                "cid": part["Content-ID"] and part["Content-ID"].strip("<>"),
            }
            for part in files
        ],
    }


for line in sys.stdin:
    message = json.loads(line)
    print(json.dumps(read(base64.b64decode(message["mime"]), message["fields"])), flush=True)
