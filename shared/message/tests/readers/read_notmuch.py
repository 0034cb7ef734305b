"""Reads messages with notmuch, which parses with GMime. The same lines of JSON as read.py, of what notmuch reports."""

import base64
import email.utils
import hashlib
import json
import os
import subprocess
import sys
import tempfile


def leaves(parts):
    for part in parts:
        if isinstance(part["content"] if "content" in part else None, list):
            yield from leaves(part["content"])
        else:
            yield part


def people_in(header):
    return [list(person) for person in email.utils.getaddresses([header])] if header else []


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cur", "new", "tmp"):
            os.makedirs(f"{folder}/mail/{name}")
        config = f"{folder}/config"
        with open(config, "w") as file:
            file.write(f"[database]\npath={folder}/mail\n[user]\nname=x\nprimary_email=x@example.com\n")
        environment = {"HOME": folder, "NOTMUCH_CONFIG": config, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

        def notmuch(*arguments):
            return subprocess.run(["notmuch", *arguments], env=environment, check=True, capture_output=True).stdout

        ids = []
        for number, line in enumerate(sys.stdin):
            mime = base64.b64decode(json.loads(line)["mime"])
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
            print(
                json.dumps(
                    {
                        "from": people_in(message["headers"]["From"]),
                        "to": people_in(message["headers"].get("To")),
                        "subject": message["headers"]["Subject"],
                        "message_id": f"<{message['id']}>",
                        "plain": plain["content"],
                        "html": html["content"],
                        "files": [
                            {
                                "name": part["filename"],
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
