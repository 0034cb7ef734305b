"""Reads RSMF files with Python's own mail and zip readers and checks them: the schema, and the rules beyond it.

Usage: validate.py FILE..., with a Python that has jsonschema. Prints a line of JSON for each file:
{"file", "problems", "events", "attachments", "archive_ids", "hashes_checked"}. Ends with 1 if a file has a problem.
"""

import email
import email.policy
import hashlib
import io
import json
import pathlib
import re
import sys
import zipfile

import jsonschema

MAX_EVENTS = 10_000
MAX_BYTES = 2_000_000_000
SCHEMA = json.loads((pathlib.Path(__file__).parent / "schema.json").read_text())


def main(files):
    validator = jsonschema.Draft7Validator(SCHEMA, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)
    bad = False
    for file in files:
        result = check(pathlib.Path(file), validator)
        bad = bad or bool(result["problems"])
        print(json.dumps(result))
    sys.exit(1 if bad else 0)


def check(file, validator):
    problems = []
    result = {"file": file.name, "problems": problems, "events": 0, "attachments": 0, "archive_ids": [], "hashes_checked": 0}
    if file.suffix != ".rsmf":
        problems.append("the extension is not .rsmf")
    if file.stat().st_size > MAX_BYTES:
        problems.append("the file has more than 2 GB")
    message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    defects = [str(defect) for part in message.walk() for defect in part.defects]
    problems.extend(f"mail: {defect}" for defect in defects)
    attachments = list(message.iter_attachments())
    if len(attachments) != 1:
        problems.append(f"{len(attachments)} attachments instead of one")
        return result
    (attachment,) = attachments
    if attachment.get_filename() != "rsmf.zip" or attachment.get_content_disposition() != "attachment":
        problems.append("the attachment is not rsmf.zip")
    if attachment["Content-Transfer-Encoding"] != "base64":
        problems.append("the attachment is not in base64")
    text = message.get_body(("plain",))
    if text is None or not text.get_content().strip():
        problems.append("the message has no text")
    try:
        package = zipfile.ZipFile(io.BytesIO(attachment.get_content()))
        broken = package.testzip()
        manifest = json.loads(package.read("rsmf_manifest.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        problems.append(f"the package cannot be read: {error}")
        return result
    if broken:
        problems.append(f"{broken} is broken")
    problems.extend(f"schema: {list(error.path)}: {error.message[:200]}" for error in validator.iter_errors(manifest))
    if problems:
        return result
    check_manifest(manifest, package, result)
    check_headers(message, manifest, result)
    return result


def check_manifest(manifest, package, result):
    problems = result["problems"]
    people = [participant["id"] for participant in manifest["participants"]]
    conversation = manifest["conversations"][0]
    events = [event["id"] for event in manifest["events"]]
    for name, ids in (("participant", people), ("event", events)):
        if len(set(ids)) != len(ids):
            problems.append(f"a {name} id is there twice")
    person_ids, event_ids = set(people), set(events)

    def resolve(what, ids, into):
        missing = sorted(set(ids) - into)
        if missing:
            problems.append(f"{what} does not resolve: {missing[:3]}")

    resolve("a conversation's participant", conversation["participants"], person_ids)
    if "custodian" in conversation:
        resolve("the custodian", [conversation["custodian"]], set(conversation["participants"]))
    names = package.namelist()
    if len(set(names)) != len(names):
        problems.append("a file is in the package twice")
    referenced = []
    last = ""
    for event in manifest["events"]:
        resolve("an event's participant", [event["participant"]], person_ids)
        resolve("an event's conversation", [event["conversation"]], {conversation["id"]})
        if "parent" in event:
            resolve("a parent", [event["parent"]], event_ids - {event["id"]})
        for reaction in event.get("reactions", []):
            resolve("a reaction's participant", reaction["participants"], person_ids)
            if reaction["count"] != len(reaction["participants"]):
                problems.append("a reaction's count is not that of its participants")
        for edit in event.get("edits", []):
            resolve("an edit's participant", [edit["participant"]], person_ids)
        custom = {}
        for fact in event.get("custom", []):
            custom.setdefault(fact["name"], []).append(fact["value"])
            # An item that was folded into the event states its own id.
            result["archive_ids"].extend(re.findall(r"^Archive id: (.+)$", fact["value"], re.MULTILINE))
        if "Part of the event" not in custom:
            result["archive_ids"].extend(custom.get("Archive id", []))
        for file in event.get("attachments", []):
            referenced.append(file["id"])
            if file["id"] not in names:
                problems.append(f"{file['id']} is not in the package")
                continue
            content = package.read(file["id"])
            if len(content) != file["size"]:
                problems.append(f"{file['id']} has another size")
            if custom.get(f"SHA-256 of {file['id']}") != [hashlib.sha256(content).hexdigest()]:
                problems.append(f"the SHA-256 of {file['id']} is not stated")
            result["hashes_checked"] += 1
    if sorted(referenced) != sorted(set(names) - {"rsmf_manifest.json"}):
        problems.append("the files of the package are not the attachments of the events")
    result["events"], result["attachments"] = len(events), len(referenced)
    if len(events) > MAX_EVENTS:
        problems.append("there are too many events")


def check_headers(message, manifest, result):
    problems = result["problems"]
    times = [event["timestamp"] for event in manifest["events"]]
    key = lambda time: (time[:19], float("0" + time[19:-1]))
    expected = {
        "X-RSMF-Version": "2.0.0",
        "X-RSMF-EventCount": str(result["events"]),
        "X-RSMF-AttachmentCount": str(result["attachments"]),
        "X-RSMF-BeginDate": min(times, key=key),
        "X-RSMF-EndDate": max(times, key=key),
        "X-RSMF-Application": "WhatsApp",
        "X-RSMF-EventCollectionID": manifest["eventcollectionid"],
    }
    for name, value in expected.items():
        if str(message[name]) != value:
            problems.append(f"{name} is {message[name]} instead of {value}")
    names = [participant["display"].replace(",", " ") for participant in manifest["participants"]][:1000]
    if str(message["X-RSMF-Participants"]) != ", ".join(names):
        problems.append("X-RSMF-Participants is not the participants' names")
    conversation = manifest["conversations"][0]
    custodian = [p["display"] for p in manifest["participants"] if p["id"] == conversation.get("custodian")]
    if [str(message["X-RSMF-Custodian"])][: len(custodian)] != custodian:
        problems.append("X-RSMF-Custodian is not the custodian")
    if not message["From"] or not message["To"] or not message["Subject"] or not message["Date"]:
        problems.append("From, To, Subject or Date is missing")


if __name__ == "__main__":
    main(sys.argv[1:])
