"""Reads messages with notmuch, which parses with GMime. The same lines of JSON as read.py, of what notmuch reports."""

import base64
import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile


def leaves(parts):
    for part in parts:
        if isinstance(part["content"] if "content" in part else None, list):
            yield from leaves(part["content"])
        else:
            yield part


def people_in(shown):
    """notmuch reports the decoded line that it shows: names are quoted only where they are quoted in the message."""
    people = re.findall(r"(?:^|, )(.*?) ?<([^<>\s]+@[^<>\s]+)>(?=, |$)", shown)
    quoted = re.compile(r'"(.*)"', re.DOTALL)
    return [[re.sub(r"\\(.)", r"\1", quoted.sub(r"\1", name)) if quoted.fullmatch(name) else name, address] for name, address in people]


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cur", "new", "tmp"):
            os.makedirs(f"{folder}/mail/{name}")
        config = f"{folder}/config"
        messages = [json.loads(line) for line in sys.stdin]
        fields = messages[0]["fields"]
        with open(config, "w") as file:
            file.write(f"[database]\npath={folder}/mail\n[user]\nname=x\nprimary_email=x@example.com\n")
            file.write(f"[show]\nextra_headers={';'.join(fields)}\n")
        environment = {"HOME": folder, "NOTMUCH_CONFIG": config, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

        def notmuch(*arguments):
            return subprocess.run(["notmuch", *arguments], env=environment, check=True, capture_output=True).stdout

        ids = []
        for number, message in enumerate(messages):
            mime = base64.b64decode(message["mime"])
            with open(f"{folder}/mail/cur/{number}:2,S", "wb") as file:
                file.write(mime)
            ids.append(mime.split(b"Message-ID: <")[1].split(b">")[0].decode())
        notmuch("new", "--quiet")
        for id in ids:
            shown = notmuch("show", "--format=json", "--entire-thread=false", "--include-html", f"id:{id}")

            def found(node):
                if isinstance(node, dict):
                    return node if node.get("id") == id else None
                return next((hit for hit in map(found, node or []) if hit), None)

            message = found(json.loads(shown))
            plain, html, *files = leaves(message["body"])
            shown = {name.lower(): value for name, value in message["headers"].items()}
            sent = datetime.datetime.fromtimestamp(message["timestamp"], datetime.timezone.utc)
            print(
                json.dumps(
                    {
                        "from": people_in(message["headers"]["From"]),
                        "to": people_in(message["headers"].get("To", "")),
                        "subject": message["headers"]["Subject"],
                        "message_id": f"<{message['id']}>",
                        "date": sent.isoformat(),
                        "fields": {name: shown[name.lower()] for name in fields if shown.get(name.lower())},
                        "plain": plain["content"],
                        "html": html["content"],
                        "files": [
                            {
                                "name": part["filename"],
                                "type": part["content-type"],
                                "sha256": hashlib.sha256(notmuch("show", f"--part={part['id']}", f"id:{id}")).hexdigest(),
                                "cid": part.get("content-id"),
                            }
                            for part in files
                        ],
                    }
                ),
                flush=True,
            )


main()
